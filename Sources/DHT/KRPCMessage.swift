import Bencode
import TorrentModel

/// One datagram of the DHT, decoded (BEP 5, 32, 33, 42, 43, 44, 51).
///
/// Strings stay where they are: a ``Slice`` says where in the datagram, so that decoding allocates nothing.
public struct KRPCMessage: Sendable {
  /// Where in the datagram a string or a value lies.
  public struct Slice: Hashable, Sendable {
    var start: UInt16
    var length: UInt16

    init(_ range: Range<Int>) {
      start = UInt16(truncatingIfNeeded: range.lowerBound)
      length = UInt16(truncatingIfNeeded: range.count)
    }

    public var range: Range<Int> { Int(start)..<Int(start) + Int(length) }
    public var count: Int { Int(length) }
  }

  public enum Kind: UInt8, Hashable, Sendable { case query, reply, error }

  public enum Method: UInt8, Hashable, Sendable, CaseIterable {
    case ping, findNode, getPeers, announcePeer, get, put, sampleInfoHashes
    /// Not one of ours.
    case unknown
  }

  /// Which families of nodes a query wants (BEP 32).
  public struct Want: OptionSet, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let n4 = Want(rawValue: 1)
    public static let n6 = Want(rawValue: 2)
  }

  public internal(set) var kind = Kind.query
  public internal(set) var method = Method.unknown
  /// `t`, at most ``transactionLimit`` bytes.
  public internal(set) var transaction = Slice(0..<0)
  /// `ro`: the sender answers no queries (BEP 43).
  public internal(set) var isReadOnly = false
  /// `ip`: how the sender sees us (BEP 42).
  public internal(set) var observed: Endpoint?
  /// `id` of the arguments or the reply.
  public internal(set) var id: NodeID?
  /// `target` or `info_hash`.
  public internal(set) var target: NodeID?
  public internal(set) var want: Want?
  public internal(set) var wantsScrape = false
  public internal(set) var wantsNoSeeds = false
  public internal(set) var isSeed = false
  public internal(set) var usesImpliedPort = false
  /// `port` of an announce, as it stands there.
  public internal(set) var port: Int64?
  public internal(set) var token: Slice?
  /// `seq` and `cas` (BEP 44).
  public internal(set) var sequence: Int64?
  public internal(set) var expectedSequence: Int64?
  /// `v` of an item, encoded.
  public internal(set) var value: Slice?
  /// `k`, 32 bytes.
  public internal(set) var publicKey: Slice?
  /// `sig`, 64 bytes.
  public internal(set) var signature: Slice?
  public internal(set) var salt: Slice?
  public internal(set) var nodes: Slice?
  public internal(set) var nodes6: Slice?
  /// The list of `values`, encoded.
  public internal(set) var values: Slice?
  /// `BFsd` and `BFpe`, 256 bytes each (BEP 33).
  public internal(set) var seedFilter: Slice?
  public internal(set) var peerFilter: Slice?
  /// `samples`, `interval` in seconds and `num` (BEP 51).
  public internal(set) var samples: Slice?
  public internal(set) var interval: Int64?
  public internal(set) var sampledCount: Int64?
  /// Of an error: what the sender says.
  public internal(set) var errorCode: Int64?
  public internal(set) var errorText: Slice?
  /// Whether all keys were in order, as a value that is stored must have them (BEP 44).
  public internal(set) var isCanonical = true
  /// Why a query cannot be served, although it is known whom to tell.
  public internal(set) var complaint: KRPCComplaint?

  /// The longest transaction that is echoed. Two bytes are usual.
  public static let transactionLimit = 32
  /// The longest token that is kept and sent back.
  public static let tokenLimit = 128
  /// The longest datagram that is read. BEP 32 forbids more than 1024 bytes; others send up to a packet's 1472.
  public static let lengthLimit = 4096
  /// What a datagram may cost. Items may nest (BEP 44), though nobody does it deeply.
  static let limits = BencodeLimits(length: lengthLimit, depth: 32, values: 1536)
}

/// Why a query is refused: the errors of BEP 5 and BEP 44.
public struct KRPCComplaint: Error, Hashable, Sendable, CustomStringConvertible {
  public let code: Int
  public let text: String

  init(_ code: Int, _ text: StaticString) {
    self.code = code
    self.text = text.description
  }

  public var description: String { "\(code) \(text)" }

  static let malformed = KRPCComplaint(203, "malformed query")
  static let noID = KRPCComplaint(203, "id must be 20 bytes")
  static let noTarget = KRPCComplaint(203, "target must be 20 bytes")
  static let badPort = KRPCComplaint(203, "port must be 1 to 65535")
  static let badToken = KRPCComplaint(203, "bad token")
  static let badValue = KRPCComplaint(203, "v is missing or not canonical")
  static let badSequence = KRPCComplaint(203, "bad seq")
  static let badKey = KRPCComplaint(203, "k, seq and sig go together")
  static let unknownMethod = KRPCComplaint(204, "method unknown")
  static let storeFull = KRPCComplaint(202, "store is full")
  static let valueTooBig = KRPCComplaint(205, "v is too big")
  static let badSignature = KRPCComplaint(206, "bad signature")
  static let saltTooBig = KRPCComplaint(207, "salt is too big")
  static let casMismatch = KRPCComplaint(301, "cas mismatch")
  static let oldSequence = KRPCComplaint(302, "seq less than current")
}

/// Why a datagram is no message at all. It is dropped without an answer.
public enum KRPCError: Error, Hashable, Sendable, CustomStringConvertible {
  case notBencode(BencodeError)
  /// No `t` of 1…32 bytes, or no `y` that is `q`, `r` or `e`.
  case notAMessage
  /// A reply without `r`, or without a sender's id.
  case malformedReply

  public var description: String {
    switch self {
    case .notBencode(let error): "not bencode: \(error)"
    case .notAMessage: "no transaction, or no kind of message"
    case .malformedReply: "a reply without an id"
    }
  }
}
