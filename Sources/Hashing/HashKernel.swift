import CHash

/// A piece of code that hashes one or several streams at once. Which there are depends on the processor family; which
/// can be used, on the processor.
@frozen
public struct HashKernel: Hashable, Sendable, CustomStringConvertible {
  let index: CInt

  init(index: CInt) { self.index = index }

  /// All kernels that were compiled in, usable here or not: OpenSSL's first.
  public static var all: [HashKernel] { (0..<spate_hash_kernel_count()).map { HashKernel(index: $0) } }

  private var information: spate_hash_kernel_info { unsafe spate_hash_kernel_at(index) }

  /// Such as `sha1-avx512-x16`.
  public var name: String { unsafe String(cString: information.name) }

  public var algorithm: HashAlgorithm {
    unsafe information.algorithm == SPATE_SHA256 ? .sha256 : .sha1
  }

  /// Streams that one pass takes.
  public var lanes: Int { unsafe Int(information.lanes) }

  /// Whether processor and operating system allow it.
  public var isSupported: Bool { unsafe information.supported }

  /// Whether the self-test at start found it equal to OpenSSL. A kernel that is not is never used.
  public var agrees: Bool { unsafe information.agrees }

  /// Runs the self-test again. With `faultInLane` a bit of that lane's result is flipped before it is compared, so
  /// the answer must be false: a test of the test.
  public func passesSelfTest(faultInLane lane: Int? = nil) -> Bool {
    spate_hash_self_test(index, lane.map(CInt.init(clamping:)) ?? -1)
  }

  public var description: String { name }
}
