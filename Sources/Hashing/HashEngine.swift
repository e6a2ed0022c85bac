import CHash

/// A choice of kernels: which one serves how many waiting streams.
///
/// The automatic choice takes what finishes soonest by measured cost, among the kernels that the processor allows and
/// that agreed with OpenSSL at start. The environment variable `SPATE_HASH` (`openssl`, `shani`, `avx2`, `avx512`)
/// forces a family for the process; an engine can also be named for each ``HashLanes`` and hasher.
@safe
@frozen
public struct HashEngine: Equatable, @unchecked Sendable, CustomStringConvertible {
  // The table behind the pointer is immutable: filled in once, before any thread can have the pointer, and never
  // freed.
  let table: OpaquePointer

  init(table: OpaquePointer) { unsafe self.table = table }

  /// A family of kernels. OpenSSL's stand in where a family has none for so few streams.
  @frozen
  public enum Family: String, Hashable, Sendable, CaseIterable {
    case openssl
    case shani
    case avx2
    case avx512
    /// All families together, the fastest for each number of streams.
    case automatic = "auto"
  }

  /// What the process uses unless told otherwise: what `SPATE_HASH` names, or the automatic choice. In debug builds
  /// OpenSSL instead, because kernels that were compiled without optimization are slower.
  public static var current: HashEngine { unsafe HashEngine(table: spate_hash_engine_current()) }

  /// A family's engine, or nil if the processor or the self-test rules it out.
  public init?(_ family: Family) {
    guard let table = unsafe spate_hash_engine_named(family.rawValue) else { return nil }
    unsafe self.init(table: table)
  }

  /// Uses `kernel` for every stream of its algorithm, however few they are; for measuring. nil if it cannot be used.
  public init?(_ kernel: HashKernel) {
    guard let table = unsafe spate_hash_engine_of_kernel(kernel.index) else { return nil }
    unsafe self.init(table: table)
  }

  public static func == (left: HashEngine, right: HashEngine) -> Bool { unsafe left.table == right.table }

  /// A family's or a kernel's name.
  public var name: String { unsafe String(cString: spate_hash_engine_name(table)) }

  /// The kernel that hashes when `streams` (1...16) wait.
  public func kernel(for algorithm: HashAlgorithm, streams: Int) -> HashKernel {
    let streams = UInt32(clamping: streams)
    return HashKernel(index: unsafe spate_hash_engine_kernel(table, algorithm.shimValue, streams))
  }

  /// Such as `auto (SHA-1: sha1-shani-x1, 16 at once sha1-avx512-x16)`.
  public var description: String {
    let one = kernel(for: .sha1, streams: 1)
    let many = kernel(for: .sha1, streams: HashEngine.maximumLanes)
    return one == many ? "\(name) (SHA-1: \(one))" : "\(name) (SHA-1: \(one), 16 at once \(many))"
  }

  /// Streams in the widest pass.
  public static var maximumLanes: Int { Int(SPATE_HASH_MAX_LANES) }
}

extension HashEngine {
  /// What came of `SPATE_HASH`.
  public enum Wish: Hashable, Sendable {
    /// The variable is not set.
    case none
    case granted(String)
    /// No family has this name; the choice is automatic.
    case unknown(String)
    /// The processor has no such instructions, or the kernels failed the self-test; the choice is automatic.
    case unsupported(String)
  }

  public static var wish: Wish {
    let text = unsafe String(cString: spate_hash_wished())
    return switch spate_hash_wish() {
    case SPATE_HASH_WISH_GRANTED: .granted(text)
    case SPATE_HASH_WISH_UNKNOWN: .unknown(text)
    case SPATE_HASH_WISH_UNSUPPORTED: .unsupported(text)
    default: .none
    }
  }

  /// Kernels that the processor could run but that disagreed with OpenSSL at start, and so are switched off.
  public static var disagreeing: [HashKernel] { HashKernel.all.filter { $0.isSupported && !$0.agrees } }

  /// What a user should be told, a sentence each: a wish that was not granted, kernels that were switched off.
  public static var warnings: [String] {
    var warnings: [String] = []
    switch wish {
    case .none, .granted: break
    case .unknown(let name):
      let names = Family.allCases.map(\.rawValue).joined(separator: ", ")
      warnings.append("SPATE_HASH=\(name) is not one of \(names); using \(current.name)")
    case .unsupported(let name):
      warnings.append("SPATE_HASH=\(name) cannot be used on this processor; using \(current.name)")
    }
    for kernel in disagreeing {
      warnings.append("the hash kernel \(kernel) disagrees with OpenSSL and is switched off")
    }
    return warnings
  }
}
