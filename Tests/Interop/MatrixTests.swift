import Foundation
import Testing

/// Spate with each other client, in both directions: a covering of clients, torrents, trackers and address families
/// rather than all their combinations.
@Suite(.showingLogs)
struct MatrixTests {
  enum Direction: Sendable { case toSpate, fromSpate }

  /// How the peers find each other.
  enum Meeting: Sendable, Hashable {
    case tracker(TrackerKind)
    /// The downloading side is told the other's address.
    case direct(Address.Family)

    var family: Address.Family {
      switch self {
      case .tracker(let kind): kind.family
      case .direct(let family): family
      }
    }
    var isTLS: Bool { self == .tracker(.opentrackerHTTPS) }
    var isUDP: Bool {
      switch self {
      case .tracker(.opentrackerUDP), .tracker(.spateUDP), .tracker(.spateUDP6): true
      default: false
      }
    }
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let other: ClientKind
    let direction: Direction
    let tree: Tree
    let meeting: Meeting
    let maker: TorrentMaker
    let pieceLength: Int

    init(
      _ other: ClientKind, _ direction: Direction, _ tree: Tree, _ meeting: Meeting, _ maker: TorrentMaker,
      _ kib: Int
    ) {
      self.other = other
      self.direction = direction
      self.tree = tree
      self.meeting = meeting
      self.maker = maker
      pieceLength = kib << 10
    }

    var requirements: [Requirement] {
      var all: [Requirement] = [.spate, .libtorrent, other.requirement, maker.requirement]
      if case .tracker(let kind) = meeting { all += kind.requirements }
      return all
    }

    var testDescription: String {
      let how =
        switch meeting {
        case .tracker(let kind): kind.rawValue
        case .direct(let family): "direct \(family)"
        }
      let sides = direction == .toSpate ? "\(other) → spate" : "spate → \(other)"
      return "\(sides), \(tree.name), \(how), \(maker), \(pieceLength >> 10) KiB"
    }
  }

  // aria2 and transmission 3.00 know neither UDP trackers over IPv6 nor hybrid torrents (they re-encode the info
  // dictionary without its empty keys, or refuse them), and only libtorrent can be told a peer.
  static let cases: [Case] = [
    Case(.aria2, .toSpate, .oneFile, .tracker(.opentrackerHTTP), .mktorrent, 256),
    Case(.aria2, .toSpate, .mixed, .tracker(.spateUDP), .libtorrent, 16),
    Case(.aria2, .toSpate, .manySmall, .direct(.v6), .transmissionCreate, 64),
    Case(.transmission, .toSpate, .mixed, .tracker(.opentrackerUDP), .transmissionCreate, 32),
    Case(.transmission, .toSpate, .oneFile, .tracker(.spateHTTP6), .mktorrent, 1024),
    Case(.transmission, .toSpate, .manySmall, .tracker(.opentrackerHTTPS), .libtorrent, 64),
    Case(.libtorrent, .toSpate, .mixed, .tracker(.opentrackerHTTPS), .mktorrent, 32),
    Case(.libtorrent, .toSpate, .manySmall, .tracker(.spateUDP6), .libtorrentHybrid, 64),
    Case(.libtorrent, .toSpate, .oneFile, .tracker(.spateHTTP), .spate, 128),
    Case(.aria2, .fromSpate, .mixed, .tracker(.opentrackerUDP), .spate, 32),
    Case(.aria2, .fromSpate, .oneFile, .tracker(.spateHTTP6), .transmissionCreate, 1024),
    Case(.aria2, .fromSpate, .manySmall, .tracker(.opentrackerHTTPS), .mktorrent, 32),
    Case(.transmission, .fromSpate, .mixed, .tracker(.spateHTTP), .spate, 64),
    Case(.transmission, .fromSpate, .oneFile, .tracker(.opentrackerUDP), .libtorrent, 256),
    Case(.transmission, .fromSpate, .manySmall, .tracker(.spateHTTP6), .mktorrent, 64),
    Case(.libtorrent, .fromSpate, .mixed, .tracker(.spateUDP6), .spate, 16),
    Case(.libtorrent, .fromSpate, .oneFile, .tracker(.opentrackerHTTP), .libtorrentHybrid, 128),
    Case(.libtorrent, .fromSpate, .manySmall, .direct(.v4), .spate, 32),
    Case(.libtorrent, .fromSpate, .mixed, .tracker(.opentrackerHTTPS), .transmissionCreate, 64),
    Case(.libtorrent, .fromSpate, .oneFile, .direct(.v6), .libtorrent, 16),
  ]

  @Test(.needs(.spate), arguments: cases.filter { available($0.requirements) })
  func transfers(_ one: Case) async throws {
    try await withSandbox { sandbox in
      let announce: [String] = if case .tracker(let kind) = one.meeting { [kind.announce] } else { [] }
      let torrent = try await Prepared.make(
        one.tree, by: one.maker, trackers: announce, pieceLength: one.pieceLength, in: sandbox)
      var tracker: RunningTracker?
      if case .tracker(let kind) = one.meeting {
        tracker = try await kind.start(allowing: [torrent.info.infohash], in: sandbox)
      }
      let other = one.other.client(trusting: tracker?.authority)
      let spate = Spate(authority: tracker?.authority)
      let (seeder, leecher): (any Client, any Client) =
        one.direction == .toSpate ? (other, spate) : (spate, other)
      let seat = Address(one.meeting.family, Role.seeder)
      _ = try await seeder.seed(torrent.torrent, from: torrent.source, at: seat, in: sandbox)
      try await tracker?.wait(torrent.info.infohash, seeds: 1, in: sandbox)

      let target = try sandbox.directory("target")
      try await leecher.download(
        torrent.torrent, into: target, at: Address(one.meeting.family, Role.leecher),
        peers: tracker == nil ? [seat] : [], in: sandbox)
      // transmission-create leaves empty files out of the torrent.
      let ignoringEmpty =
        one.direction == .fromSpate && one.other.skipsEmptyFiles || one.maker == .transmissionCreate
      try await expectSame(
        one.tree, in: target, as: torrent.source, ignoringEmpty: ignoringEmpty, in: sandbox)
    }
  }

  /// The table covers what it is meant to cover, so that a row taken out is noticed.
  @Test func theTableCoversThePairs() {
    for other in ClientKind.allCases {
      let rows = Self.cases.filter { $0.other == other }
      for direction in [Direction.toSpate, .fromSpate] {
        let ways = rows.filter { $0.direction == direction }
        #expect(
          ways.contains { $0.tree.isSingle } && ways.contains { !$0.tree.isSingle }, "\(other) \(direction)")
        #expect(Set(ways.map(\.meeting.family)) == [.v4, .v6], "\(other) \(direction)")
        #expect(
          ways.contains { $0.meeting.isUDP } || rows.contains { $0.meeting.isUDP }, "\(other) \(direction)")
      }
      #expect(rows.contains { $0.meeting.isTLS }, "\(other)")
      #expect(rows.contains { $0.tree.name == Tree.mixed.name }, "\(other)")
    }
    for direction in [Direction.toSpate, .fromSpate] {
      let rows = Self.cases.filter { $0.direction == direction }
      #expect(Set(rows.map(\.maker)) == Set(TorrentMaker.allCases), "\(direction)")
      #expect(Set(rows.map { $0.tree.name }).count == 3, "\(direction)")
    }
    let meetings = Set(Self.cases.map(\.meeting))
    for kind in TrackerKind.allCases { #expect(meetings.contains(.tracker(kind)), "\(kind)") }
    #expect(Set(Self.cases.map(\.pieceLength)).isSuperset(of: [16 << 10, 64 << 10, 1 << 20]))
  }

  @Test(
    "spate seeds, spate downloads, over opentracker", .needs(.spate, .libtorrent, .opentracker, .mktorrent))
  func spateToSpate() async throws {
    try await withSandbox { sandbox in
      let kind = TrackerKind.opentrackerUDP
      let torrent = try await Prepared.make(
        .mixed, trackers: [kind.announce], pieceLength: 32_768, in: sandbox)
      let tracker = try await kind.start(allowing: [torrent.info.infohash], in: sandbox)
      _ = try await Spate().seed(
        torrent.torrent, from: torrent.source, at: Address(.v4, Role.seeder), in: sandbox)
      try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)
      let target = try sandbox.directory("target")
      try await Spate().download(
        torrent.torrent, into: target, at: Address(.v4, Role.leecher), peers: [], in: sandbox)
      try await expectSame(.mixed, in: target, as: torrent.source, in: sandbox)
    }
  }
}
