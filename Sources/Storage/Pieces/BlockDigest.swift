import BlockPool
import Hashing

/// Tells the blocks of a piece apart between one arrival and the next, so that whoever sent the wrong one can be blamed.
///
/// The first 64 bits of a SHA-1 that begins with a secret of this process: nobody outside can make two blocks look alike.
func blockDigest(of block: BlockID, count: Int, in pool: BlockPool) -> UInt64 {
  var hasher = SHA1Hasher()
  hasher.update(salt.span)
  pool.withBytes(of: block, count: count) { hasher.update($0) }
  var value: UInt64 = 0
  for byte in hasher.digest().bytes.prefix(8) { value = value << 8 | UInt64(byte) }
  return value
}

private let salt = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
