import Bencode
import TorrentModel

extension AnnounceReply {
  private static let limits = BencodeLimits(length: Limits.trackerReplyLength, depth: 16, values: 1 << 17)

  /// Reads the body of an HTTP tracker's answer (BEP 3, 7, 23, 24, 31).
  ///
  /// - Throws: ``TrackerError/failure(reason:retry:)`` when the tracker refused; other errors when the body is malformed.
  public static func decode(http body: Span<UInt8>) throws(TrackerError) -> AnnounceReply {
    guard body.count <= Limits.trackerReplyLength else { throw .replyTooLong }
    var parser = BencodeParser(limits: limits)
    let root = try trackerDictionary(body, &parser)
    var reply = AnnounceReply()
    reply.interval = root["interval"]?.seconds.flatMap { $0 > .zero ? $0 : nil }
    reply.minimumInterval = root["min interval"]?.seconds
    reply.seeds = root["complete"]?.natural
    reply.leechers = root["incomplete"]?.natural
    reply.downloaded = root["downloaded"]?.natural
    if let id = root["tracker id"]?.stringBytes, !id.isEmpty, id.count <= trackerIDLengthLimit {
      reply.trackerID = id
    }
    if let text = root["warning message"]?.string, !text.isEmpty {
      reply.warning = printableText(text, lengthLimit: messageLengthLimit)
    }
    reply.externalAddress = root["external ip"]?.address
    if let peers = root["peers"] { try reply.add(peers) }
    if let peers = root["peers6"] {
      guard let bytes = peers.string else { throw .malformedPeers }
      try reply.addCompact(bytes, stride: 18)
    }
    return reply
  }

  private mutating func add(_ node: borrowing BencodeNode) throws(TrackerError) {
    if let bytes = node.string { return try addCompact(bytes, stride: 6) }
    guard var elements = node.elements else { throw .malformedPeers }
    while let element = elements.next() {
      guard let address = element["ip"]?.text.flatMap({ IPAddress($0) }), let port = element["port"]?.integer,
        (1...65535).contains(port)
      else {
        // A host name, or nonsense. Names that strangers give are not looked up.
        ignoredPeers += 1
        continue
      }
      add(Endpoint(address: address, port: UInt16(port)))
    }
  }

  /// Reads endpoints of 6 bytes (BEP 23) or 18 bytes (BEP 7).
  mutating func addCompact(_ bytes: Span<UInt8>, stride size: Int) throws(TrackerError) {
    guard bytes.count % size == 0 else { throw .malformedPeers }
    peers.reserveCapacity(peers.count + min(bytes.count / size, Limits.peersPerAnnounce))
    for offset in stride(from: 0, to: bytes.count, by: size) {
      let endpoint =
        size == 6 ? Endpoint(compactV4: bytes, at: offset) : Endpoint(compactV6: bytes, at: offset)
      if let endpoint { add(endpoint) }
    }
  }

  /// Keeps a peer that somebody could connect to.
  mutating func add(_ peer: Endpoint) {
    guard peer.port != 0, !peer.address.isUnspecified, !peer.address.isMulticast,
      peers.count < Limits.peersPerAnnounce
    else {
      ignoredPeers += 1
      return
    }
    peers.append(peer)
  }
}

extension ScrapeEntry {
  /// An answer to a full scrape may be long; only what was asked for is looked at.
  private static let limits = BencodeLimits(length: Limits.trackerReplyLength, depth: 16, values: 1 << 18)

  /// Reads the body of an HTTP tracker's answer to a scrape (BEP 48).
  ///
  /// - Returns: an entry for each info-hash, in order; `nil` where the tracker says nothing.
  public static func decode(
    http body: Span<UInt8>, for infoHashes: [InfoHash]
  ) throws(TrackerError) -> [ScrapeEntry?] {
    guard body.count <= Limits.trackerReplyLength else { throw .replyTooLong }
    var parser = BencodeParser(limits: limits)
    let root = try trackerDictionary(body, &parser)
    guard let files = root["files"], files.kind == .dictionary else { throw .malformedScrape }
    var entries: [ScrapeEntry?] = []
    for hash in infoHashes {
      let key = hash.bytes.bytes
      guard let entry = files.value(forKey: key.span), entry.kind == .dictionary else {
        entries.append(nil)
        continue
      }
      entries.append(
        ScrapeEntry(
          seeds: entry["complete"]?.natural, downloaded: entry["downloaded"]?.natural,
          leechers: entry["incomplete"]?.natural, downloaders: entry["downloaders"]?.natural))
    }
    return entries
  }
}

/// The dictionary of a tracker's answer that is no refusal.
@_lifetime(copy body, &parser)
private func trackerDictionary(
  _ body: Span<UInt8>, _ parser: inout BencodeParser
) throws(TrackerError) -> BencodeNode {
  let root: BencodeNode
  // Some trackers end their answer with a line feed.
  do { root = try parser.parsePrefix(body) } catch { throw .notBencode(error) }
  guard root.kind == .dictionary else { throw .notADictionary }
  if let reason = root["failure reason"] {
    var text = ""
    if let bytes = reason.string {
      text = printableText(bytes, lengthLimit: AnnounceReply.messageLengthLimit)
    }
    throw .failure(reason: text, retry: retryAdvice(root))
  }
  return root
}

/// BEP 31 has strings; numbers are seen too. Without it, a `min interval` that comes with a refusal says the same.
private func retryAdvice(_ root: borrowing BencodeNode) -> RetryAdvice? {
  if let retry = root["retry in"] {
    if retry.text == "never" { return .never }
    guard let minutes = retry.integer ?? retry.text.flatMap({ Int64($0) }), minutes > 0 else { return nil }
    return .after(.seconds(60) * Int(min(minutes, 60 * 24 * 365)))
  }
  return root["min interval"]?.seconds.flatMap { $0 > .zero ? .after($0) : nil }
}

extension BencodeNode {
  /// Four or sixteen bytes read as an address.
  fileprivate var address: IPAddress? {
    guard let string else { return nil }
    return IPAddress(compact: string)
  }
  /// A number that is not below zero.
  fileprivate var natural: Int? { integer.flatMap { $0 >= 0 ? Int($0) : nil } }
  /// A number of seconds that is not below zero; more than a year counts as a year.
  fileprivate var seconds: Moment.Interval? {
    integer.flatMap { $0 >= 0 ? .seconds(Int(min($0, 86400 * 365))) : nil }
  }
}
