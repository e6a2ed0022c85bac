/// One extension of the extension protocol, as this client takes part in it (BEP 10).
///
/// An extension is a type of its own with its messages, and one value of this type by which it registers.
public struct WireExtension: Hashable, Sendable {
  /// The key in the `m` dictionary of the extended handshake.
  public let name: String
  /// The id by which we ask peers to send us its messages, in `1 ..< ExtensionRegistry.capacity`.
  public let localID: UInt8
  /// The longest message in bytes, without the extended id. Longer ones are refused before they are buffered.
  public let messageLengthLimit: Int
  /// Keys of the extended handshake itself, beside `m`, whose values are to be kept for this extension.
  public let handshakeKeys: [String]

  public init(name: String, localID: UInt8, messageLengthLimit: Int, handshakeKeys: [String] = []) {
    precondition(
      localID > 0 && Int(localID) < ExtensionRegistry.capacity, "the id of an extension is out of range")
    self.name = name
    self.localID = localID
    self.messageLengthLimit = messageLengthLimit
    self.handshakeKeys = handshakeKeys
  }
}

/// The extensions that are in use on a connection. It is built once and shared by all connections that use the same ones.
public struct ExtensionRegistry: Sendable {
  /// Extensions by local id; id 0 is the handshake's and never used.
  private let extensions: [WireExtension?]

  /// One more than the greatest local id.
  public static let capacity = 16

  /// - Precondition: no two extensions share an id or a name.
  public init(_ list: [WireExtension]) {
    var extensions = [WireExtension?](repeating: nil, count: Self.capacity)
    for item in list {
      precondition(extensions[Int(item.localID)] == nil, "two extensions share an id")
      precondition(!extensions.contains { $0?.name == item.name }, "two extensions share a name")
      extensions[Int(item.localID)] = item
    }
    self.extensions = extensions
  }

  /// Every extension there is.
  public static let standard = ExtensionRegistry([
    DontHave.registration, Metadata.registration, PeerExchange.registration,
  ])

  /// What is left for a torrent whose peers may come from its own trackers only (BEP 27): neither peers nor metadata
  /// go to others.
  public static let privateTorrent = standard.without(Metadata.registration).without(
    PeerExchange.registration)

  /// What is left where the user wants no peer exchange (BEP 11).
  public static let withoutPeerExchange = standard.without(PeerExchange.registration)

  /// The same registry without one extension, as the user may want it.
  public func without(_ item: WireExtension) -> ExtensionRegistry {
    ExtensionRegistry(all.filter { $0 != item })
  }

  /// The extension that receives messages with this extended id.
  public subscript(localID: UInt8) -> WireExtension? {
    Int(localID) < extensions.count ? extensions[Int(localID)] : nil
  }

  /// The extension of this name. Names are raw bytes, as they come in a handshake.
  public func named(_ name: Span<UInt8>) -> WireExtension? {
    for item in extensions {
      guard let item else { continue }
      let candidate = item.name.utf8.span
      guard candidate.count == name.count else { continue }
      if name.indices.allSatisfy({ name[$0] == candidate[$0] }) { return item }
    }
    return nil
  }

  /// The registered extensions by ascending id.
  public var all: [WireExtension] { extensions.compactMap { $0 } }

  /// The keys of the extended handshake that extensions want kept.
  var handshakeKeys: [String] { extensions.flatMap { $0?.handshakeKeys ?? [] } }
}

/// The ids by which one peer wants to be sent the messages of our extensions. It lives as long as the connection.
public struct RemoteExtensions: Sendable {
  private var ids = InlineArray<16, UInt8>(repeating: 0)

  public init() {}

  /// The id to put in messages of this extension, or `nil` while the peer does not take them.
  public subscript(item: WireExtension) -> UInt8? {
    let id = ids[Int(item.localID)]
    return id == 0 ? nil : id
  }

  /// Takes in the `m` dictionary of a handshake. A handshake may be sent again and then names what changes only;
  /// id 0 switches an extension off (BEP 10).
  public mutating func apply(_ handshake: ExtendedHandshake) {
    for change in handshake.messages where Int(change.extension.localID) < ids.count {
      ids[Int(change.extension.localID)] = change.remoteID
    }
  }
}
