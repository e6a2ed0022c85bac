/// Bounds that hold everywhere, with the reason for each. What a stranger sends is compared with these before memory is taken.
public enum Limits {
  /// A .torrent file in bytes: 2^22 pieces × 20 bytes need 80 MiB, but no torrent in use is above a few MiB.
  public static let metainfoLength = 64 << 20
  /// Bytes of an info dictionary that is fetched from peers (BEP 9), whose word is all there is for its length.
  public static let metadataLength = 32 << 20
  /// Nested lists and dictionaries in bencode.
  public static let bencodeDepth = 64
  /// Pieces in a torrent.
  public static let pieceCount = 1 << 22
  /// Bytes in a piece (BEP 3).
  public static let pieceLength = 512 << 20
  /// Files in a torrent.
  public static let fileCount = 1 << 20
  /// Bytes a peer may ask for in one request. 16 KiB is the rule; some clients ask for more, and 128 KiB is what all refuse beyond.
  public static let requestLength = 128 << 10
  /// Requests a peer may have open with us: what we announce as `reqq` (BEP 10).
  public static let incomingRequests = 2000
  /// Bytes in an extended message (BEP 10) other than the metadata pieces of BEP 9.
  public static let extendedMessageLength = 1 << 20
  /// Peers taken from one tracker reply.
  public static let peersPerAnnounce = 5000
  /// Bytes of a tracker's HTTP reply.
  public static let trackerReplyLength = 2 << 20
}
