import Bencode
import TorrentModel

/// The extension by which peers tell each other whom they are connected to (BEP 11).
public enum PeerExchange {
  public static let registration = WireExtension(
    name: "ut_pex", localID: 3, messageLengthLimit: 64 << 10)

  /// Contacts added, and as many dropped, in one message, IPv4 and IPv6 together. More are neither sent nor taken in.
  public static let contactLimit = 50

  /// What is said of a peer.
  @frozen
  public struct Flags: OptionSet, Hashable, Sendable {
    public var rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// It prefers encrypted connections.
    public static let prefersEncryption = Flags(rawValue: 0x01)
    /// A seed or partial seed: it downloads nothing.
    public static let uploadOnly = Flags(rawValue: 0x02)
    /// It speaks uTP (BEP 29).
    public static let supportsUTP = Flags(rawValue: 0x04)
    /// It can introduce peers to each other (BEP 55).
    public static let supportsHolepunch = Flags(rawValue: 0x08)
    /// The sender made the connection, so the peer can be reached.
    public static let reachable = Flags(rawValue: 0x10)
  }

  /// A peer and what is said of it.
  public struct Contact: Hashable, Sendable {
    public var endpoint: Endpoint
    public var flags: Flags

    public init(_ endpoint: Endpoint, flags: Flags = []) {
      self.endpoint = endpoint
      self.flags = flags
    }
  }

  /// What changed since the message before.
  public struct Message: Hashable, Sendable {
    /// Peers that the sender is connected to now. Each once.
    public var added: [Contact] = []
    /// Peers that it is connected to no longer. Each once, and none that was added.
    public var dropped: [Endpoint] = []
    /// Of a message that was read: contacts that were left aside, as they were too many, came twice, or are no
    /// addresses of anybody.
    public var ignoredCount = 0

    public init(added: [Contact] = [], dropped: [Endpoint] = []) {
      self.added = added
      self.dropped = dropped
    }

    public var isEmpty: Bool { added.isEmpty && dropped.isEmpty }
  }

  private static let limits = BencodeLimits(length: registration.messageLengthLimit, depth: 8, values: 64)

  /// Reads the payload of a message.
  public static func decode(_ payload: Span<UInt8>) throws(PeerProtocolError) -> Message {
    var parser = BencodeParser(limits: limits)
    let root: BencodeNode
    do { root = try parser.parsePrefix(payload) } catch { throw failure("\(error)") }
    guard root.kind == .dictionary else { throw failure("it is not a dictionary") }
    // Half of the room is left to the other family, if that has any.
    var message = Message()
    var seen: Set<Endpoint> = []
    let count6 = try count(root, "added6", isV4: false)
    try read(root, "added", isV4: true, limit: contactLimit - min(count6, contactLimit / 2)) {
      endpoint, index in
      guard seen.insert(endpoint).inserted else { return false }
      message.added.append(Contact(endpoint, flags: flags(root, "added.f", index)))
      return true
    } ignored: {
      message.ignoredCount += $0
    }
    try read(root, "added6", isV4: false, limit: contactLimit - message.added.count) { endpoint, index in
      guard seen.insert(endpoint).inserted else { return false }
      message.added.append(Contact(endpoint, flags: flags(root, "added6.f", index)))
      return true
    } ignored: {
      message.ignoredCount += $0
    }
    for (key, isV4) in [("dropped", true), ("dropped6", false)] {
      try read(root, key, isV4: isV4, limit: contactLimit - message.dropped.count) { endpoint, _ in
        guard seen.insert(endpoint).inserted else { return false }
        message.dropped.append(endpoint)
        return true
      } ignored: {
        message.ignoredCount += $0
      }
    }
    return message
  }

  private static func width(isV4: Bool) -> Int { isV4 ? 6 : 18 }

  /// How many contacts stand under a key.
  private static func count(
    _ root: borrowing BencodeNode, _ key: String, isV4: Bool
  ) throws(PeerProtocolError) -> Int {
    guard let node = root[key] else { return 0 }
    guard let bytes = node.string else { throw failure("'\(key)' is not a string") }
    guard bytes.count % width(isV4: isV4) == 0 else {
      throw failure("'\(key)' has \(bytes.count) bytes, no multiple of \(width(isV4: isV4))")
    }
    return bytes.count / width(isV4: isV4)
  }

  /// Gives `take` one contact after the other until it has taken `limit`. It says whether it did.
  private static func read(
    _ root: borrowing BencodeNode, _ key: String, isV4: Bool, limit: Int,
    take: (Endpoint, Int) -> Bool, ignored: (Int) -> Void
  ) throws(PeerProtocolError) {
    let count = try count(root, key, isV4: isV4)
    guard count > 0, let bytes = root[key]?.string else { return }
    var taken = 0
    for index in 0..<count {
      guard taken < limit else { return ignored(count - index) }
      let at = index * width(isV4: isV4)
      let endpoint = isV4 ? Endpoint(compactV4: bytes, at: at) : Endpoint(compactV6: bytes, at: at)
      if let endpoint, endpoint.isPlausiblePeer, take(endpoint, index) { taken += 1 } else { ignored(1) }
    }
  }

  private static func flags(_ root: borrowing BencodeNode, _ key: String, _ index: Int) -> Flags {
    guard let bytes = root[key]?.string, index < bytes.count else { return [] }
    return Flags(rawValue: bytes[index])
  }

  private static func failure(_ reason: String) -> PeerProtocolError {
    .badExtensionMessage(extension: registration.name, reason: reason)
  }

  /// Appends a message to a peer that takes them under `remoteID`.
  ///
  /// - Precondition: no more than ``contactLimit`` are added, and no more dropped.
  public static func append(_ message: Message, remoteID: UInt8, to output: inout [UInt8]) {
    PeerMessage.extended(id: remoteID, payload: encode(message)).append(to: &output)
  }

  /// The payload of a message, in canonical bencode.
  public static func encode(_ message: Message) -> [UInt8] {
    precondition(message.added.count <= contactLimit && message.dropped.count <= contactLimit)
    let isV4: (Contact) -> Bool = { $0.endpoint.address.isV4 }
    let (added, added6) = (message.added.filter(isV4), message.added.filter { !isV4($0) })
    var writer = BencodeWriter()
    writer.beginDictionary()
    // Some clients look at `added` only when its flags are there, and expect both.
    writer.entry("added", string: compact(added.map(\.endpoint)))
    writer.entry("added.f", string: added.map(\.flags.rawValue))
    if !added6.isEmpty {
      writer.entry("added6", string: compact(added6.map(\.endpoint)))
      writer.entry("added6.f", string: added6.map(\.flags.rawValue))
    }
    writer.entry("dropped", string: compact(message.dropped.filter(\.address.isV4)))
    let dropped6 = message.dropped.filter { !$0.address.isV4 }
    if !dropped6.isEmpty { writer.entry("dropped6", string: compact(dropped6)) }
    writer.end()
    return writer.bytes
  }

  private static func compact(_ endpoints: [Endpoint]) -> [UInt8] {
    var bytes: [UInt8] = []
    for endpoint in endpoints { endpoint.appendCompact(to: &bytes) }
    return bytes
  }
}
