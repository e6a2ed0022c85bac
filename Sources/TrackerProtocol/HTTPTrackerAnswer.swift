import Bencode
import TorrentModel

/// The bodies by which an HTTP tracker answers (BEP 3, 7, 23, 24, 31, 48).
public enum HTTPTrackerAnswer {
  /// An answer to an announce, with peers in compact form: IPv4 in `peers`, IPv6 in `peers6` (BEP 7, BEP 23).
  public static func compact(_ reply: AnnounceReply) -> [UInt8] {
    var v4: [UInt8] = []
    var v6: [UInt8] = []
    for peer in reply.peers {
      if peer.address.isV4 { peer.appendCompact(to: &v4) } else { peer.appendCompact(to: &v6) }
    }
    return write(reply) { writer in
      writer.entry("peers", string: v4)
      if !v6.isEmpty { writer.entry("peers6", string: v6) }
    }
  }

  /// An answer to an announce, with a list of dictionaries (BEP 3).
  ///
  /// - Parameter peerIDs: the ids of the peers in their order; empty to leave them out.
  public static func list(_ reply: AnnounceReply, peerIDs: [PeerID]) -> [UInt8] {
    precondition(peerIDs.isEmpty || peerIDs.count == reply.peers.count, "every peer needs its id")
    return write(reply) { writer in
      writer.key("peers")
      writer.beginList()
      for (index, peer) in reply.peers.enumerated() {
        writer.beginDictionary()
        writer.entry("ip", string: peer.address.description)
        if !peerIDs.isEmpty { writer.entry("peer id", string: peerIDs[index].bytes.bytes) }
        writer.entry("port", integer: peer.port)
        writer.end()
      }
      writer.end()
    }
  }

  private static func write(_ reply: AnnounceReply, peers: (inout BencodeWriter) -> Void) -> [UInt8] {
    var writer = BencodeWriter(reserving: 128 + reply.peers.count * 18)
    writer.beginDictionary()
    if let count = reply.seeds { writer.entry("complete", integer: count) }
    if let count = reply.downloaded { writer.entry("downloaded", integer: count) }
    if let address = reply.externalAddress { writer.entry("external ip", string: address.compactBytes) }
    if let count = reply.leechers { writer.entry("incomplete", integer: count) }
    if let interval = reply.interval { writer.entry("interval", integer: interval.wholeSeconds) }
    if let interval = reply.minimumInterval { writer.entry("min interval", integer: interval.wholeSeconds) }
    peers(&writer)
    if let id = reply.trackerID { writer.entry("tracker id", string: id) }
    if let warning = reply.warning { writer.entry("warning message", string: warning) }
    writer.end()
    return writer.bytes
  }

  /// A refusal (BEP 3), and when to come back (BEP 31).
  public static func failure(_ reason: String, retry: RetryAdvice? = nil) -> [UInt8] {
    var writer = BencodeWriter()
    writer.beginDictionary()
    writer.entry("failure reason", string: reason)
    switch retry {
    case .never?: writer.entry("retry in", string: "never")
    case .after(let time)?: writer.entry("retry in", string: String(max(1, (time.wholeSeconds + 59) / 60)))
    case nil: break
    }
    writer.end()
    return writer.bytes
  }

  /// An answer to a scrape (BEP 48).
  public static func scrape(_ entries: [(infoHash: InfoHash, entry: ScrapeEntry)]) -> [UInt8] {
    var writer = BencodeWriter(reserving: 32 + entries.count * 96)
    writer.beginDictionary()
    writer.key("files")
    writer.beginDictionary()
    var previous: InfoHash?
    for (hash, entry) in entries.sorted(by: { $0.infoHash < $1.infoHash }) where hash != previous {
      previous = hash
      writer.key(hash.bytes.bytes.span)
      writer.beginDictionary()
      if let count = entry.seeds { writer.entry("complete", integer: count) }
      if let count = entry.downloaded { writer.entry("downloaded", integer: count) }
      if let count = entry.downloaders { writer.entry("downloaders", integer: count) }
      if let count = entry.leechers { writer.entry("incomplete", integer: count) }
      writer.end()
    }
    writer.end()
    writer.end()
    return writer.bytes
  }
}

extension Moment.Interval {
  /// Whole seconds, rounded up; zero at least.
  var wholeSeconds: Int64 {
    nanoseconds <= 0 ? 0 : (nanoseconds - 1) / 1_000_000_000 + 1
  }
}
