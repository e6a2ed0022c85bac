import DHT
import TorrentModel

/// Items (BEP 44) and what they point to (BEP 46).
extension DHTClient {
  /// A stored item.
  public struct Stored: Sendable {
    public var item: DHTItem
    /// Where it lies.
    public var target: NodeID
    /// Nodes that took it.
    public var count: Int
    /// What the first of those that did not said, if any.
    public var refusal: String?
  }

  /// Where an item lies.
  public static func target(of item: DHTItem) -> NodeID { item.target(sha1: DHTDriver.sha1) }

  /// Where the items of a key lie.
  public static func target(ofPublicKey key: [UInt8], salt: [UInt8]) -> NodeID {
    DHTItem.target(ofPublicKey: key.span, salt: salt.span, sha1: DHTDriver.sha1)
  }

  /// The immutable item that lies at a point: its value has that hash.
  /// - Throws: ``DHTFailure/notFound``.
  public func item(
    at target: NodeID, within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> DHTItem {
    guard let item = try await look(.immutableItem(target), within: seconds).item else { throw .notFound }
    return item
  }

  /// The newest item of a key, its signature checked.
  /// - Throws: ``DHTFailure/notFound``.
  public func item(
    ofPublicKey key: [UInt8], salt: [UInt8] = [], within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> DHTItem {
    guard let item = try await newest(key, salt, within: seconds) else { throw .notFound }
    return item
  }

  private func newest(
    _ key: [UInt8], _ salt: [UInt8], within seconds: Double
  ) async throws(DHTFailure) -> DHTItem? {
    guard key.count == DHTItem.publicKeyLength else { throw .notAnItem(.badKeyLength(key.count)) }
    guard salt.count <= DHTItem.saltLimit else { throw .notAnItem(.saltTooLong(salt.count)) }
    return try await look(.mutableItem(publicKey: key, salt: salt), within: seconds).item
  }

  /// Stores an immutable item: any canonical bencode of at most ``DHTItem/valueLimit`` bytes.
  ///
  /// Nodes forget it after about two hours, unless somebody stores it again.
  public func put(
    _ value: [UInt8], within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> Stored {
    try await store(DHTItem(value: value), replacing: nil, within: seconds)
  }

  /// Stores an item under a key.
  ///
  /// - Parameters:
  ///   - sequence: its number, which must be greater than that of the item it replaces. nil: the next one after what is
  ///     found there, and whoever stored another meanwhile is not overwritten.
  ///   - expected: store it only where this number is (`cas`).
  public func put(
    _ value: [UInt8], as keys: DHTKeyPair, salt: [UInt8] = [], sequence: Int64? = nil,
    replacing expected: Int64? = nil, within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> Stored {
    var number = sequence
    var expected = expected
    if number == nil {
      let old = try await newest(keys.publicKey, salt, within: seconds)?.mutable?.sequence
      guard old != .max else { throw .notStored(reason: "the item there has the last number there is") }
      number = (old ?? 0) + 1
      expected = expected ?? old
    }
    let item = try keys.item(value, salt: salt, sequence: number ?? 1)
    return try await store(item, replacing: expected, within: seconds)
  }

  private func store(
    _ item: DHTItem, replacing expected: Int64?, within seconds: Double
  ) async throws(DHTFailure) -> Stored {
    do throws(DHTItem.Problem) { try item.validate(verifying: DHTDriver.verify) } catch {
      throw .notAnItem(error)
    }
    let result = try await look(.put(item, expecting: expected), within: seconds)
    return Stored(
      item: item, target: Self.target(of: item), count: try Self.stored(result).storedCount,
      refusal: Self.refusal(result))
  }

  /// The torrent that a key names at present (BEP 46).
  /// - Throws: ``DHTFailure/notFound``, or ``DHTFailure/notATorrent`` when the key's item is about something else.
  public func resolve(
    mutable publicKey: [UInt8], salt: [UInt8] = [], within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> InfoHash {
    let item = try await item(ofPublicKey: publicKey, salt: salt, within: seconds)
    guard let infoHash = item.pointedTorrent else { throw .notATorrent }
    return infoHash
  }
}
