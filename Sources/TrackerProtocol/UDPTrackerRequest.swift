import TorrentModel

/// The datagrams a peer sends to a UDP tracker (BEP 15, BEP 41).
public enum UDPTrackerRequest: Hashable, Sendable {
  /// Asks for a connection id.
  case connect(transaction: UInt32)
  /// `address` is the IPv4 address the tracker is asked to use instead of the sender's; zero for the sender's.
  /// `urlData` is path and query of the tracker's URL (BEP 41), empty when not sent.
  case announce(
    connection: UInt64, transaction: UInt32, AnnounceRequest, address: UInt32 = 0, urlData: [UInt8] = [])
  case scrape(connection: UInt64, transaction: UInt32, [InfoHash])

  /// The number by which a connect request is known.
  public static let protocolID: UInt64 = 0x417_2710_1980
  /// The most info-hashes that one scrape may ask about.
  public static let scrapeLimit = 74
  /// Bytes of path and query that are sent: with them, the datagram still fits any path.
  public static let urlDataLimit = 1020

  enum Action: UInt32 {
    case connect = 0
    case announce = 1
    case scrape = 2
    case error = 3
  }

  /// The datagram.
  ///
  /// - Precondition: a scrape names 1 … ``scrapeLimit`` info-hashes.
  public func encoded() -> [UInt8] {
    var output: [UInt8] = []
    switch self {
    case .connect(let transaction):
      output.reserveCapacity(16)
      output.append(bigEndian: Self.protocolID)
      output.append(bigEndian: Action.connect.rawValue)
      output.append(bigEndian: transaction)
    case .announce(let connection, let transaction, let request, let address, let urlData):
      output.reserveCapacity(98 + urlData.count + urlData.count / 255 * 2 + 2)
      output.append(bigEndian: connection)
      output.append(bigEndian: Action.announce.rawValue)
      output.append(bigEndian: transaction)
      request.infoHash.bytes.append(to: &output)
      request.peerID.bytes.append(to: &output)
      output.append(bigEndian: UInt64(max(0, request.downloaded)))
      output.append(bigEndian: UInt64(max(0, request.left)))
      output.append(bigEndian: UInt64(max(0, request.uploaded)))
      output.append(bigEndian: request.event == .paused ? 0 : request.event.rawValue)
      output.append(bigEndian: address)
      output.append(bigEndian: request.key)
      output.append(bigEndian: request.numberWanted.map { UInt32(clamping: $0) & 0x7fff_ffff } ?? .max)
      output.append(bigEndian: request.port)
      for start in stride(from: 0, to: min(urlData.count, Self.urlDataLimit), by: 255) {
        let chunk = urlData[start..<min(start + 255, urlData.count, Self.urlDataLimit)]
        output.append(2)
        output.append(UInt8(chunk.count))
        output.append(contentsOf: chunk)
      }
    case .scrape(let connection, let transaction, let hashes):
      precondition((1...Self.scrapeLimit).contains(hashes.count), "a scrape names 1 to 74 info-hashes")
      output.reserveCapacity(16 + 20 * hashes.count)
      output.append(bigEndian: connection)
      output.append(bigEndian: Action.scrape.rawValue)
      output.append(bigEndian: transaction)
      for hash in hashes { hash.bytes.append(to: &output) }
    }
    return output
  }

  /// Reads a datagram as a tracker gets it. `nil` for anything that is no request; such are not answered.
  public init?(_ bytes: Span<UInt8>) {
    guard bytes.count >= 16, let action = Action(rawValue: bytes.bigEndian32(at: 8)) else { return nil }
    let connection = bytes.bigEndian64(at: 0)
    let transaction = bytes.bigEndian32(at: 12)
    switch action {
    case .connect:
      guard connection == Self.protocolID else { return nil }
      self = .connect(transaction: transaction)
    case .announce:
      guard bytes.count >= 98, let hash = InfoHash(bytes.extracting(16..<36)),
        let id = Bytes20(bytes.extracting(36..<56))
      else { return nil }
      let wanted = Int32(bitPattern: bytes.bigEndian32(at: 92))
      let request = AnnounceRequest(
        infoHash: hash, peerID: PeerID(id), port: bytes.bigEndian16(at: 96),
        uploaded: Int64(clamping: bytes.bigEndian64(at: 72)),
        downloaded: Int64(clamping: bytes.bigEndian64(at: 56)),
        left: Int64(clamping: bytes.bigEndian64(at: 64)),
        event: AnnounceEvent(rawValue: bytes.bigEndian32(at: 80)) ?? .periodic,
        numberWanted: wanted < 0 ? nil : Int(wanted), key: bytes.bigEndian32(at: 88))
      self = .announce(
        connection: connection, transaction: transaction, request, address: bytes.bigEndian32(at: 84),
        urlData: Self.urlData(bytes.extracting(droppingFirst: 98)))
    case .scrape:
      // What does not make a whole info-hash may be an extension of later days.
      let count = (bytes.count - 16) / 20
      guard (1...Self.scrapeLimit).contains(count) else { return nil }
      let hashes = (0..<count).compactMap { InfoHash(bytes.extracting((16 + 20 * $0)..<(36 + 20 * $0))) }
      self = .scrape(connection: connection, transaction: transaction, hashes)
    case .error: return nil
    }
  }

  /// The options behind an announce (BEP 41). What is malformed ends them.
  private static func urlData(_ options: Span<UInt8>) -> [UInt8] {
    var data: [UInt8] = []
    var index = 0
    while index < options.count {
      switch options[index] {
      case 0: return data
      case 1: index += 1
      case let kind:
        guard index + 1 < options.count else { return data }
        let end = index + 2 + Int(options[index + 1])
        guard end <= options.count else { return data }
        if kind == 2 { for place in (index + 2)..<end { data.append(options[place]) } }
        index = end
      }
    }
    return data
  }
}

extension [UInt8] {
  mutating func append(bigEndian number: some FixedWidthInteger) {
    for shift in stride(from: number.bitWidth - 8, through: 0, by: -8) {
      append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }
}

extension Span<UInt8> {
  /// The two bytes at `offset`, which must be there.
  func bigEndian16(at offset: Int) -> UInt16 { UInt16(self[offset]) << 8 | UInt16(self[offset + 1]) }
  /// The four bytes at `offset`, which must be there.
  func bigEndian32(at offset: Int) -> UInt32 {
    UInt32(bigEndian16(at: offset)) << 16 | UInt32(bigEndian16(at: offset + 2))
  }
  /// The eight bytes at `offset`, which must be there.
  func bigEndian64(at offset: Int) -> UInt64 {
    UInt64(bigEndian32(at: offset)) << 32 | UInt64(bigEndian32(at: offset + 4))
  }
}
