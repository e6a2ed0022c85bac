import Bencode
import TorrentModel

/// The handshake of the extension protocol (BEP 10): a dictionary in which every entry is optional.
///
/// It may come again while the connection lasts, and then says only what has changed: `nil` means "as before".
public struct ExtendedHandshake: Hashable, Sendable {
  /// How one of our extensions is to be sent to the peer from now on.
  public struct Change: Hashable, Sendable {
    public var `extension`: WireExtension
    /// The id the peer chose. 0: do not send such messages any more.
    public var remoteID: UInt8

    public init(extension: WireExtension, remoteID: UInt8) {
      self.extension = `extension`
      self.remoteID = remoteID
    }
  }

  /// An entry that belongs to an extension.
  public struct Entry: Hashable, Sendable {
    public var key: String
    /// The value, bencoded.
    public var value: [UInt8]

    public init(key: String, value: [UInt8]) {
      self.key = key
      self.value = value
    }
  }

  /// `m`: the entries that name extensions of ours. Others mean nothing to us and are not kept.
  public var messages: [Change] = []
  /// `v`: name and version of the client, made printable.
  public var client: String?
  /// `p`: the port the peer listens on.
  public var listenPort: UInt16?
  /// `reqq`: how many requests the peer keeps without dropping any. At least 1.
  public var requestQueueLength: Int?
  /// `yourip`: the address under which the peer sees us. A hint, not to be trusted (BEP 40).
  public var yourAddress: IPAddress?
  /// `ipv4`: an address of the peer.
  public var ipv4: IPAddress?
  /// `ipv6`: an address of the peer.
  public var ipv6: IPAddress?
  /// `upload_only`: the peer downloads nothing, as a seed or a partial seed (BEP 21).
  public var isUploadOnly: Bool?
  /// Entries that our extensions asked to be kept, see ``WireExtension/handshakeKeys``.
  public var entries: [Entry] = []

  public init() {}

  /// Bytes kept of a client's name.
  public static let clientNameLengthLimit = 64
  /// The most a peer's `reqq` is taken for.
  public static let requestQueueLengthLimit = 1 << 16
  /// The longest bencoded value of an extension's own entry.
  public static let entryLengthLimit = 1024

  private static let limits = BencodeLimits(
    length: MessageParser.extendedHandshakeLengthLimit, depth: 16, values: 4096)

  /// Reads the payload of an extended message with id 0. An entry of the wrong kind or out of its range is ignored, as if it were not there.
  public static func decode(
    _ payload: Span<UInt8>, registry: ExtensionRegistry
  ) throws(PeerProtocolError) -> ExtendedHandshake {
    var parser = BencodeParser(limits: limits)
    let root: BencodeNode
    do { root = try parser.parsePrefix(payload) } catch { throw .badExtendedHandshake(error) }
    guard root.kind == .dictionary else { throw .extendedHandshakeIsNotADictionary }
    var result = ExtendedHandshake()
    result.read(root, registry: registry)
    return result
  }

  private mutating func read(_ root: borrowing BencodeNode, registry: ExtensionRegistry) {
    if var entries = root["m"]?.entries {
      while let entry = entries.next() {
        guard let known = registry.named(entry.key), let id = entry.value.integer, (0...255).contains(id)
        else {
          continue
        }
        messages.append(Change(extension: known, remoteID: UInt8(id)))
      }
    }
    if let name = root["v"]?.string, !name.isEmpty {
      client = printableText(name, lengthLimit: Self.clientNameLengthLimit)
    }
    if let port = root["p"]?.integer, (1...65535).contains(port) { listenPort = UInt16(port) }
    if let length = root["reqq"]?.integer, length > 0 {
      requestQueueLength = Int(min(length, Int64(Self.requestQueueLengthLimit)))
    }
    yourAddress = root["yourip"]?.address
    ipv4 = root["ipv4"]?.address.flatMap { $0.isV4 ? $0 : nil }
    ipv6 = root["ipv6"]?.address.flatMap { $0.isV4 ? nil : $0 }
    if let value = root["upload_only"]?.integer { isUploadOnly = value != 0 }
    for key in registry.handshakeKeys {
      guard let encoded = root[key]?.encoded, encoded.count <= Self.entryLengthLimit else { continue }
      entries.append(Entry(key: key, value: (0..<encoded.count).map { encoded[$0] }))
    }
  }

  /// The payload of an extended message with id 0, in canonical bencode.
  ///
  /// - Precondition: no key of ``entries`` is one of this type's own, and their values are bencode.
  public func encoded() -> [UInt8] {
    var all = entries
    func add(_ key: String, _ write: (inout BencodeWriter) -> Void) {
      var writer = BencodeWriter()
      write(&writer)
      all.append(Entry(key: key, value: writer.bytes))
    }
    let sorted = messages.sorted { $0.extension.name.precedes($1.extension.name) }
    add("m") { writer in
      writer.beginDictionary()
      for change in sorted { writer.entry(change.extension.name, integer: change.remoteID) }
      writer.end()
    }
    if let client { add("v") { $0.string(client) } }
    if let listenPort { add("p") { $0.integer(listenPort) } }
    if let requestQueueLength { add("reqq") { $0.integer(requestQueueLength) } }
    if let yourAddress { add("yourip") { $0.string(yourAddress.compactBytes) } }
    if let ipv4 { add("ipv4") { $0.string(ipv4.compactBytes) } }
    if let ipv6 { add("ipv6") { $0.string(ipv6.compactBytes) } }
    if let isUploadOnly { add("upload_only") { $0.integer(isUploadOnly ? 1 : 0) } }
    all.sort { $0.key.precedes($1.key) }
    var writer = BencodeWriter()
    writer.beginDictionary()
    for entry in all {
      writer.key(entry.key)
      writer.encoded(entry.value.span)
    }
    writer.end()
    return writer.bytes
  }

  /// Our own handshake's `m`: every extension we take part in, under the id we want to be sent.
  ///
  /// - Parameter withdrawn: extensions that an earlier handshake named, and that end with this one.
  public static func messages(
    of registry: ExtensionRegistry, without withdrawn: [WireExtension] = []
  ) -> [Change] {
    registry.all.map { Change(extension: $0, remoteID: $0.localID) }
      + withdrawn.map { Change(extension: $0, remoteID: 0) }
  }
}

extension BencodeNode {
  /// Four or sixteen bytes read as an address.
  fileprivate var address: IPAddress? {
    guard let string else { return nil }
    return IPAddress(compact: string)
  }
}

extension String {
  /// The order of dictionary keys (BEP 3): that of the raw bytes.
  fileprivate func precedes(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }
}
