import Foundation
import Testing

/// HTTPS trackers: who is trusted, where redirects may lead, how much is read.
@Suite(.showingLogs)
struct HTTPSTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let announce: String
    let isTrusted: Bool
    let works: Bool
    /// Text that must be told to the user when it does not work.
    let complaint: String

    init(_ announce: String, trusted: Bool = true, works: Bool, complaint: String = "") {
      self.announce = announce
      isTrusted = trusted
      self.works = works
      self.complaint = complaint
    }
    var testDescription: String { "\(announce)\(isTrusted ? "" : ", unknown authority")" }
  }

  static let cases = [
    Case("https://tracker.test:6443/announce", works: true),
    Case("https://10.77.0.1:6443/announce", works: true),
    Case("https://wrong.test:6443/announce", works: false, complaint: "certificate"),
    Case("https://tracker.test:6443/announce", trusted: false, works: false, complaint: "certificate"),
    Case("https://tracker.test:6443/moved/1/announce", works: true),
    Case("https://tracker.test:6443/moved/5/announce", works: true),
    Case("https://tracker.test:6443/moved/6/announce", works: false, complaint: "redirect"),
    Case("https://tracker.test:6443/endless/announce", works: false, complaint: "redirect"),
    Case("https://tracker.test:6443/huge/announce", works: false),
    // An address that is not public is only asked for what a tracker answers.
    Case("https://tracker.test:6443/stats", works: false, complaint: "announce"),
  ]

  @Test(.needs(.spate, .libtorrent, .opentracker, .openssl, .mktorrent), arguments: cases)
  func announces(_ one: Case) async throws {
    try await withSandbox { sandbox in
      let kind = TrackerKind.opentrackerHTTPS
      // The seed finds the tracker by plain HTTP, so only Spate depends on the case.
      let torrent = try await Prepared.make(
        .tiny, trackers: [TrackerKind.opentrackerHTTP.announce], pieceLength: 32_768, in: sandbox)
      let tracker = try await kind.start(allowing: [torrent.info.infohash], in: sandbox)
      _ = try await Libtorrent().seed(
        torrent.torrent, from: torrent.source, at: Address(.v4, Role.seeder), in: sandbox)
      try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)

      let target = try sandbox.directory("target")
      let asked = try await TorrentMaker.mktorrent.make(
        "asked", from: torrent.content, trackers: [one.announce], pieceLength: 32_768, in: sandbox)
      let child = try Spate(
        options: ["--timeout", "8"], authority: one.isTrusted ? tracker.authority : nil
      ).start([asked], into: target, at: Address(.v4, Role.leecher), in: sandbox)
      let status = try await child.exit(within: .seconds(60))
      if one.works {
        #expect(status == .code(0))
        try await expectSame(.tiny, in: target, as: torrent.source, in: sandbox)
      } else {
        #expect(status == .code(6))
        let told = (child.errors + child.output).lowercased()
        #expect(
          one.complaint.isEmpty || told.contains(one.complaint),
          "no word about it: \(child.errors.suffix(500))")
      }
      if one.announce.contains("huge") {
        let front = try String(
          contentsOf: sandbox.scratch.appending(path: "logs/tls-front.out"), encoding: .utf8)
        struct Huge: Decodable { let sent: Int }
        let sent = front.split(separator: "\n").filter { $0.contains(#""huge""#) }
          .compactMap { try? JSONDecoder().decode(Huge.self, from: Data($0.utf8)).sent }
        #expect(!sent.isEmpty)
        #expect(sent.allSatisfy { $0 < 64 << 20 }, "the body was read without a limit: \(sent)")
      }
    }
  }
}
