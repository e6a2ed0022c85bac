import FuzzDriver
import Glibc
import TorrentModel
import TrackerProtocol

/// What HTTP trackers answer, what peers ask of ours, and the URLs that torrents name.
func fuzzOne(_ bytes: [UInt8]) {
  fuzzAnnounce(bytes)
  fuzzScrape(bytes)
  fuzzQuery(bytes)
  fuzzURL(String(decoding: bytes, as: UTF8.self))
}

private func fuzzAnnounce(_ bytes: [UInt8]) {
  guard var reply = taken({ () throws(TrackerError) in try AnnounceReply.decode(http: bytes.span) }) else {
    return
  }
  precondition(reply.peers.count <= Limits.peersPerAnnounce)
  precondition(reply.peers.allSatisfy { $0.port != 0 })
  precondition((reply.trackerID?.count ?? 0) <= AnnounceReply.trackerIDLengthLimit)
  // A text that was cut would be cut again; the compact form has the families apart.
  reply.warning = nil
  reply.ignoredPeers = 0
  reply.peers.sort()
  var again = taken { () throws(TrackerError) in
    try AnnounceReply.decode(http: HTTPTrackerAnswer.compact(reply).span)
  }
  again?.peers.sort()
  precondition(again == reply, "an announce reply changed on the way")
}

private func fuzzScrape(_ bytes: [UInt8]) {
  let hashes = [InfoHash(Bytes20()), InfoHash(Bytes20(repeatElement(0x78, count: 20)) ?? Bytes20())]
  guard
    let entries = taken({ () throws(TrackerError) in try ScrapeEntry.decode(http: bytes.span, for: hashes) })
  else { return }
  precondition(entries.count == 2)
  let known = zip(hashes, entries).compactMap { hash, entry in entry.map { (infoHash: hash, entry: $0) } }
  let again = taken { () throws(TrackerError) in
    try ScrapeEntry.decode(http: HTTPTrackerAnswer.scrape(known).span, for: hashes)
  }
  precondition(again == entries, "a scrape reply changed on the way")
}

private func taken<Value>(_ body: () throws(TrackerError) -> Value) -> Value? {
  do throws(TrackerError) { return try body() } catch {
    precondition(!error.description.isEmpty)
    return nil
  }
}

private func fuzzQuery(_ bytes: [UInt8]) {
  do throws(TrackerQueryError) {
    let query = try AnnounceQuery(bytes.span)
    let again = try AnnounceQuery(Array(query.request.httpParameters.utf8).span)
    precondition(again.request == query.request, "an announce changed on the way")
  } catch {
    precondition(!error.description.isEmpty)
  }
  guard let scrape = try? ScrapeQuery(bytes.span) else { return }
  precondition((1...ScrapeQuery.infoHashLimit).contains(scrape.infoHashes.count))
}

private func fuzzURL(_ text: String) {
  do throws(TrackerURLError) {
    let url = try TrackerURL(text)
    precondition((try? TrackerURL(url.text)) == url, "a URL was taken apart in two ways")
    // It goes into a request line and a Host header.
    precondition(url.requestTarget("x=1").utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f })
    precondition(url.hostText.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x2f })
    _ = (url.host, url.basicAuthorization, url.origin, url.description)
    if let scrape = url.scrapeURL { precondition(scrape.origin == url.origin) }
  } catch {
    precondition(!error.description.isEmpty)
  }
}

exit(fuzz(fuzzOne))
