import BlockPool
import CHash
import Hashing

/// SplitMix64: the same cases on every run.
struct Drawing: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { withUnsafeBytes(of: next()) { bytes.append(contentsOf: $0) } }
    bytes.removeLast(bytes.count - count)
    return bytes
  }
}

extension HashAlgorithm {
  var shim: spate_hash_algorithm { self == .sha1 ? SPATE_SHA1 : SPATE_SHA256 }
  var digestBytes: Int { self == .sha1 ? 20 : 32 }

  /// The digest by OpenSSL's EVP.
  func reference(_ bytes: some Collection<UInt8>) -> [UInt8] {
    let message = Array(bytes)
    var digest = [UInt8](repeating: 0, count: digestBytes)
    let isGood = spate_hash_reference(shim, message, message.count, &digest)
    precondition(isGood, "OpenSSL has no \(self)")
    return digest
  }
}

/// Every engine that can be used here: the families, and each kernel alone.
enum Engines {
  static let families: [HashEngine] = HashEngine.Family.allCases.compactMap { HashEngine($0) }
  static let all: [HashEngine] = families + HashKernel.all.compactMap { HashEngine($0) }
  /// Engines with what is worth testing them at: a kernel alone has one algorithm.
  static let pairs: [(HashEngine, HashAlgorithm)] =
    families.flatMap { family in HashAlgorithm.allCases.map { (family, $0) } }
    + HashKernel.all.compactMap { kernel in HashEngine(kernel).map { ($0, kernel.algorithm) } }

  static func table(_ engine: HashEngine) -> OpaquePointer {
    for kernel in 0..<spate_hash_kernel_count() {
      if let table = spate_hash_engine_of_kernel(kernel), name(table) == engine.name { return table }
    }
    return spate_hash_engine_named(engine.name)!
  }

  private static func name(_ table: OpaquePointer) -> String {
    String(cString: spate_hash_engine_name(table))
  }
}

/// A message on its way through the shim by hand: padded behind an address that is not aligned.
struct PaddedMessage {
  let bytes: [UInt8]
  let start: Int
  let blocks: Int

  init(_ message: some Collection<UInt8>, shift: Int) {
    var bytes = [UInt8](repeating: 0xee, count: shift) + message
    let carried = message.count % 64
    bytes += [UInt8](repeating: 0xee, count: 128)
    let padding = bytes.withUnsafeMutableBufferPointer { buffer in
      spate_hash_pad(buffer.baseAddress! + shift + message.count - carried, carried, UInt64(message.count))
    }
    self.bytes = bytes
    start = shift
    blocks = message.count / 64 + padding
  }
}

extension HashAlgorithm {
  /// The state that OpenSSL's digest stands for, filled up to eight words.
  func referenceState(_ bytes: some Collection<UInt8>) -> [UInt32] {
    let digest = reference(bytes)
    let words = stride(from: 0, to: digest.count, by: 4).map { at in
      digest[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }
    return words + [UInt32](repeating: KernelTests.untouched, count: 8 - words.count)
  }
}
