import TorrentModel

/// Why a tracker refuses a request: the text for `failure reason`.
public enum TrackerQueryError: Error, Hashable, Sendable {
  case missing(String)
  case repeated(String)
  case malformed(String)
  /// More info-hashes than are answered at once.
  case tooManyInfoHashes(limit: Int)
}

extension TrackerQueryError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .missing(let name): "missing \(name)"
    case .repeated(let name): "\(name) given twice"
    case .malformed(let name): "malformed \(name)"
    case .tooManyInfoHashes(let limit): "more than \(limit) info-hashes"
    }
  }
}

/// An announce as a tracker reads it from the query of a URL (BEP 3, 7, 23).
public struct AnnounceQuery: Hashable, Sendable {
  public var request: AnnounceRequest
  /// Whether the peer wants endpoints in compact form. True unless it says otherwise (BEP 23).
  public var isCompact: Bool
  /// Whether peer ids may be left out of a list that is not compact.
  public var omitsPeerIDs: Bool
  /// The `ip` parameter, when it is a numeric address. A tracker does well to distrust it.
  public var claimedAddress: IPAddress?

  /// - Parameter query: what follows the question mark.
  public init(_ query: Span<UInt8>) throws(TrackerQueryError) {
    let parameters = try QueryParameters(query)
    guard let hash = try parameters.bytes20("info_hash"), let id = try parameters.bytes20("peer_id") else {
      throw .missing(parameters.has("info_hash") ? "peer_id" : "info_hash")
    }
    guard let port = try parameters.number("port") else { throw .missing("port") }
    guard let port = UInt16(exactly: port) else { throw .malformed("port") }
    var request = AnnounceRequest(
      infoHash: InfoHash(hash), peerID: PeerID(id), port: port,
      uploaded: try parameters.number("uploaded") ?? 0, downloaded: try parameters.number("downloaded") ?? 0,
      left: try parameters.number("left") ?? .max)
    if let event = try parameters.value("event") { request.event = AnnounceEvent(parameter: event) }
    // Some clients say -1 for "as you like".
    if let wanted = try parameters.value("numwant"), wanted.first != UInt8(ascii: "-") {
      guard let number = decimal(wanted) else { throw .malformed("numwant") }
      request.numberWanted = Int(min(number, Int64(Int32.max)))
    }
    if let key = try parameters.value("key") { request.key = Self.key(key) }
    request.trackerID = try parameters.value("trackerid")
    request.ipv4 = try parameters.address("ipv4").flatMap { $0.isV4 ? $0 : nil }
    request.ipv6 = try parameters.address("ipv6").flatMap { $0.isV4 ? nil : $0 }
    self.request = request
    claimedAddress = try parameters.address("ip")
    isCompact = try parameters.value("compact") != Array("0".utf8)
    omitsPeerIDs = try parameters.value("no_peer_id").map { $0 != Array("0".utf8) } ?? false
  }

  /// Clients write the key as eight hexadecimal digits as a rule, but any text will do: then it is mixed into a number.
  private static func key(_ text: [UInt8]) -> UInt32 {
    if text.count <= 8, let number = UInt32(String(decoding: text, as: UTF8.self), radix: 16) {
      return number
    }
    // FNV-1a.
    return text.reduce(0x811c_9dc5) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
  }
}

/// A scrape as a tracker reads it from the query of a URL (BEP 48).
public struct ScrapeQuery: Hashable, Sendable {
  /// At least one: a scrape of everything is not answered.
  public var infoHashes: [InfoHash]

  /// The most info-hashes that are answered at once, as over UDP (BEP 15).
  public static let infoHashLimit = 74

  /// - Parameter query: what follows the question mark.
  public init(_ query: Span<UInt8>) throws(TrackerQueryError) {
    let parameters = try QueryParameters(query)
    infoHashes = []
    for item in parameters.items where item.name == Array("info_hash".utf8) {
      guard infoHashes.count < Self.infoHashLimit else { throw .tooManyInfoHashes(limit: Self.infoHashLimit) }
      guard let hash = Bytes20(item.value) else { throw .malformed("info_hash") }
      infoHashes.append(InfoHash(hash))
    }
    guard !infoHashes.isEmpty else { throw .missing("info_hash") }
  }
}

/// The parameters of a query, unescaped.
private struct QueryParameters {
  struct Item {
    var name: [UInt8]
    var value: [UInt8]
  }

  private(set) var items: [Item] = []

  /// More are no announce or scrape: the work for one request is bounded.
  static let countLimit = 128

  init(_ query: Span<UInt8>) throws(TrackerQueryError) {
    var start = 0
    for index in 0...query.count where index == query.count || query[index] == UInt8(ascii: "&") {
      defer { start = index + 1 }
      guard index > start else { continue }
      guard items.count < Self.countLimit else { throw .malformed("query") }
      var equals = start
      while equals < index, query[equals] != UInt8(ascii: "=") { equals += 1 }
      guard let name = PercentEncoding.decode(query.extracting(start..<equals)),
        let value = PercentEncoding.decode(query.extracting(min(equals + 1, index)..<index))
      else { throw .malformed("query") }
      items.append(Item(name: name, value: value))
    }
  }

  func has(_ name: StaticString) -> Bool {
    items.contains { $0.name.elementsEqual(name.description.utf8) }
  }

  /// The value of a parameter that may be given once.
  func value(_ name: StaticString) throws(TrackerQueryError) -> [UInt8]? {
    var found: [UInt8]?
    for item in items where item.name.elementsEqual(name.description.utf8) {
      guard found == nil else { throw .repeated(name.description) }
      found = item.value
    }
    return found
  }

  func number(_ name: StaticString) throws(TrackerQueryError) -> Int64? {
    guard let text = try value(name) else { return nil }
    guard let number = decimal(text) else { throw .malformed(name.description) }
    return number
  }

  func bytes20(_ name: StaticString) throws(TrackerQueryError) -> Bytes20? {
    guard let value = try value(name) else { return nil }
    guard let bytes = Bytes20(value) else { throw .malformed(name.description) }
    return bytes
  }

  /// The first that is a numeric address: clients with several addresses give several (BEP 7).
  func address(_ name: StaticString) throws(TrackerQueryError) -> IPAddress? {
    for item in items where item.name.elementsEqual(name.description.utf8) {
      if let address = IPAddress(String(decoding: item.value, as: UTF8.self)) { return address }
    }
    return nil
  }
}

/// Digits only; what does not fit 63 bits is cut to them.
private func decimal(_ text: [UInt8]) -> Int64? {
  guard !text.isEmpty, text.allSatisfy(\.isDigit) else { return nil }
  return Int64(String(decoding: text, as: UTF8.self)) ?? .max
}
