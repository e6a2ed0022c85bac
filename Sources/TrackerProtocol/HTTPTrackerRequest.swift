import TorrentModel

extension AnnounceRequest {
  /// The parameters of an announce over HTTP, to go behind the URL's own (BEP 3, 7, 23).
  public var httpParameters: String {
    var output: [UInt8] = []
    output.reserveCapacity(256)
    func add(_ name: StaticString, _ value: String) {
      if !output.isEmpty { output.append(UInt8(ascii: "&")) }
      output.append(contentsOf: name.description.utf8)
      output.append(UInt8(ascii: "="))
      output.append(contentsOf: value.utf8)
    }
    func add(_ name: StaticString, escaping value: [UInt8]) {
      add(name, "")
      PercentEncoding.append(value, to: &output)
    }
    add("info_hash", escaping: infoHash.bytes.bytes)
    add("peer_id", escaping: peerID.bytes.bytes)
    add("port", String(port))
    add("uploaded", String(max(0, uploaded)))
    add("downloaded", String(max(0, downloaded)))
    add("left", String(max(0, left)))
    let hex = String(key, radix: 16, uppercase: true)
    add("key", String(repeating: "0", count: 8 - hex.utf8.count) + hex)
    if let event = event.parameter { add("event", event) }
    if let numberWanted { add("numwant", String(max(0, numberWanted))) }
    add("compact", "1")
    add("no_peer_id", "1")
    if let trackerID { add("trackerid", escaping: trackerID) }
    if let ipv4 { add("ipv4", escaping: Array(ipv4.description.utf8)) }
    if let ipv6 { add("ipv6", escaping: Array(ipv6.description.utf8)) }
    return String(decoding: output, as: UTF8.self)
  }
}

public enum ScrapeRequest {
  /// The parameters of a scrape over HTTP (BEP 48).
  public static func httpParameters(_ infoHashes: [InfoHash]) -> String {
    var output: [UInt8] = []
    for hash in infoHashes {
      output.append(contentsOf: (output.isEmpty ? "info_hash=" : "&info_hash=").utf8)
      PercentEncoding.append(hash.bytes.bytes, to: &output)
    }
    return String(decoding: output, as: UTF8.self)
  }

  /// How many torrents to ask about in one HTTP request: an escaped info-hash takes up to 71 bytes, and servers
  /// commonly take request lines of 4 KiB.
  public static let httpInfoHashLimit = 50
}
