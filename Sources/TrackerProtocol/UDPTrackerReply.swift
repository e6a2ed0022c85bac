import TorrentModel

/// The datagrams a UDP tracker sends to a peer (BEP 15).
public enum UDPTrackerReply: Hashable, Sendable {
  case connect(transaction: UInt32, connection: UInt64)
  /// Of the reply, only interval, leechers, seeds and peers go over the wire.
  case announce(transaction: UInt32, AnnounceReply)
  /// One entry for each info-hash of the request, in its order.
  case scrape(transaction: UInt32, [ScrapeEntry])
  case error(transaction: UInt32, message: String)

  /// Peers of one address family in a reply of at most this many fit a datagram of 1472 bytes over IPv4, which is what crosses an Ethernet whole.
  public static func peerLimit(isV4: Bool) -> Int { (1452 - 20) / (isV4 ? 6 : 18) }

  public var transaction: UInt32 {
    switch self {
    case .connect(let transaction, _), .announce(let transaction, _), .scrape(let transaction, _),
      .error(let transaction, _):
      transaction
    }
  }

  /// Reads a datagram.
  ///
  /// - Parameter isV4: the address family that it came over; peers have 6 bytes in one and 18 in the other.
  /// - Throws: ``TrackerError/truncatedReply(length:needed:)`` or ``TrackerError/unexpectedAction(_:)``.
  public static func decode(_ bytes: Span<UInt8>, isV4: Bool) throws(TrackerError) -> UDPTrackerReply {
    func need(_ count: Int) throws(TrackerError) {
      guard bytes.count >= count else { throw .truncatedReply(length: bytes.count, needed: count) }
    }
    try need(8)
    let number = bytes.bigEndian32(at: 0)
    guard let action = UDPTrackerRequest.Action(rawValue: number) else { throw .unexpectedAction(number) }
    let transaction = bytes.bigEndian32(at: 4)
    switch action {
    case .connect:
      try need(16)
      return .connect(transaction: transaction, connection: bytes.bigEndian64(at: 8))
    case .announce:
      try need(20)
      let seconds = Int32(bitPattern: bytes.bigEndian32(at: 8))
      var reply = AnnounceReply(
        interval: seconds > 0 ? .seconds(Int(seconds)) : nil, seeds: count(bytes, at: 16),
        leechers: count(bytes, at: 12))
      // A rest that makes no whole peer may be an extension of later days: "do not expect packets to be exactly
      // of a certain size".
      let size = isV4 ? 6 : 18
      let end = bytes.count - (bytes.count - 20) % size
      try reply.addCompact(bytes.extracting(20..<end), stride: size)
      return .announce(transaction: transaction, reply)
    case .scrape:
      let entries = stride(from: 8, through: bytes.count - 12, by: 12).map { offset in
        ScrapeEntry(
          seeds: count(bytes, at: offset), downloaded: count(bytes, at: offset + 4),
          leechers: count(bytes, at: offset + 8))
      }
      return .scrape(transaction: transaction, entries)
    case .error:
      let text = printableText(
        bytes.extracting(droppingFirst: 8), lengthLimit: AnnounceReply.messageLengthLimit)
      return .error(transaction: transaction, message: text)
    }
  }

  /// Some trackers say -1 for what they do not know.
  private static func count(_ bytes: Span<UInt8>, at offset: Int) -> Int? {
    let number = Int32(bitPattern: bytes.bigEndian32(at: offset))
    return number < 0 ? nil : Int(number)
  }

  /// The datagram. Peers of the other address family are left out, and so are those beyond ``peerLimit(isV4:)``.
  ///
  /// - Parameter isV4: the address family that it is sent over.
  public func encoded(isV4: Bool) -> [UInt8] {
    var output: [UInt8] = []
    func begin(_ action: UDPTrackerRequest.Action) {
      output.append(bigEndian: action.rawValue)
      output.append(bigEndian: transaction)
    }
    switch self {
    case .connect(_, let connection):
      begin(.connect)
      output.append(bigEndian: connection)
    case .announce(_, let reply):
      begin(.announce)
      output.append(bigEndian: UInt32(clamping: reply.interval?.wholeSeconds ?? 0) & 0x7fff_ffff)
      output.append(bigEndian: UInt32(clamping: reply.leechers ?? 0))
      output.append(bigEndian: UInt32(clamping: reply.seeds ?? 0))
      for peer in reply.peers.lazy.filter({ $0.address.isV4 == isV4 }).prefix(Self.peerLimit(isV4: isV4)) {
        peer.appendCompact(to: &output)
      }
    case .scrape(_, let entries):
      begin(.scrape)
      for entry in entries.prefix(UDPTrackerRequest.scrapeLimit) {
        output.append(bigEndian: UInt32(clamping: entry.seeds ?? 0))
        output.append(bigEndian: UInt32(clamping: entry.downloaded ?? 0))
        output.append(bigEndian: UInt32(clamping: entry.leechers ?? 0))
      }
    case .error(_, let message):
      begin(.error)
      output.append(contentsOf: message.utf8.prefix(AnnounceReply.messageLengthLimit))
    }
    return output
  }
}
