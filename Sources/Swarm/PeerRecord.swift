import TorrentModel

/// What is kept of a known peer between runs.
public struct PeerRecord: Hashable, Sendable {
  /// How the last attempt to reach it went.
  @frozen
  public enum Result: UInt8, Hashable, Sendable, CaseIterable {
    case untried = 0
    /// It could not be reached, or closed at once.
    case failed = 1
    /// A connection stood, without payload.
    case connected = 2
    /// Payload went one way or the other.
    case useful = 3
  }

  public var endpoint: Endpoint
  /// Everybody who told us of it.
  public var source: PeerSource
  public var result: Result
  /// Failures in a row.
  public var failures: UInt8
  /// It had every piece when last seen.
  public var isSeed: Bool

  public init(
    endpoint: Endpoint, source: PeerSource, result: Result = .untried, failures: UInt8 = 0,
    isSeed: Bool = false
  ) {
    self.endpoint = endpoint
    self.source = source
    self.result = result
    self.failures = failures
    self.isSeed = isSeed
  }
}

// A list of records as bytes: a version, and 21 bytes for each.
extension PeerRecord {
  static let formatVersion: UInt8 = 1
  /// Address (16), port (2), source, result with the seed's bit above it, failures.
  static let encodedLength = 21
  /// Records that are written, and read, at most.
  public static let listLimit = 2000

  /// The first ``listLimit`` records as bytes, for a resume record.
  public static func encode(_ records: [PeerRecord]) -> [UInt8] {
    var bytes = [formatVersion]
    for record in records.prefix(listLimit) {
      for word in [record.endpoint.address.high, record.endpoint.address.low] {
        for shift in stride(from: 56, through: 0, by: -8) {
          bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
        }
      }
      bytes += [UInt8(record.endpoint.port >> 8), UInt8(record.endpoint.port & 255)]
      bytes += [record.source.rawValue, record.result.rawValue | (record.isSeed ? 0x80 : 0), record.failures]
    }
    return bytes
  }

  /// Reads such a list. What cannot be read is left out: peers are found again.
  public static func decode(_ bytes: Span<UInt8>) -> [PeerRecord] {
    guard bytes.count > 0, bytes[0] == formatVersion else { return [] }
    var records: [PeerRecord] = []
    var at = 1
    while bytes.count - at >= encodedLength, records.count < listLimit {
      defer { at += encodedLength }
      guard let endpoint = Endpoint(compactV6: bytes, at: at), endpoint.isPlausiblePeer,
        let result = Result(rawValue: bytes[at + 19] & 0x7f)
      else { continue }
      records.append(
        PeerRecord(
          endpoint: endpoint, source: PeerSource(rawValue: bytes[at + 18]), result: result,
          failures: bytes[at + 20], isSeed: bytes[at + 19] & 0x80 != 0))
    }
    return records
  }
}

/// How many peers there are from each source, each counted once: with the source that named it first.
public struct PeerSourceCounts: Hashable, Sendable {
  public var tracker = 0
  public var dht = 0
  /// Peer exchange (BEP 11).
  public var exchange = 0
  /// Local service discovery (BEP 14).
  public var local = 0
  /// Peers nobody told us of: they connected to us.
  public var incoming = 0
  public var resume = 0
  public var user = 0

  public init() {}

  public var total: Int { tracker + dht + exchange + local + incoming + resume + user }

  /// Counts a peer that `source` named first.
  mutating func count(_ source: PeerSource) {
    if source.contains(.user) {
      user += 1
    } else if source.contains(.tracker) {
      tracker += 1
    } else if source.contains(.dht) {
      dht += 1
    } else if source.contains(.local) {
      local += 1
    } else if source.contains(.exchange) {
      exchange += 1
    } else if source.contains(.resume) {
      resume += 1
    } else {
      incoming += 1
    }
  }
}
