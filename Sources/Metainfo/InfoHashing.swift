import Hashing
import TorrentModel

/// The SHA-1 of an info dictionary's bytes (BEP 3).
func infoHash(of encoded: Span<UInt8>) -> InfoHash {
  InfoHash(Bytes20(SHA1.digest(of: encoded).bytes) ?? Bytes20())
}
