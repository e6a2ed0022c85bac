import PeerWire
import TorrentModel

/// A virtual world to be run.
struct Scenario {
  var name: String
  var seeds = 1
  var leechers = 1
  var pieceLength = 64 << 10
  var pieces = 40
  /// Bytes the last piece is shorter by.
  var shortBy: Int64 = 20_000
  /// Peers told of to each newcomer.
  var peersTold = 30
  var maximumConnections = 30
  var openBlockBudget = 256
  /// Bytes a second, least and most.
  var bandwidth = 200_000...2_000_000
  /// Milliseconds one way, least and most, of each end.
  var latency = 2...60
  /// Leechers that are not as they should be. They take part, but need not finish.
  var liars = 0
  var snubbers = 0
  var chokers = 0
  var slow = 0
  /// Seconds between breaks of a connection picked at random; 0 for none.
  var breakEvery = 0.0
  /// Leechers whose disk stops working for a while.
  var failingDisks = 0
  /// Share of the leechers' pieces that are there from the start.
  var head = 0.0
  var isSequential = false
  /// Everybody is told of the first node only, and has to learn of the others from peers (BEP 11).
  var isIntroducedByOne = false
  /// The run is over when everybody has nearly as many connections as it may have, not when everybody is complete.
  var endsWhenFilled = false
  /// Peers tell each other of peers.
  var exchangesPeers = false
  /// Leechers know the info-hash only, and get this many bytes of metadata from others (BEP 9); 0 for known metadata.
  var metadataLength = 0
  /// Of the leechers, those that give out wrong metadata. They need not finish.
  var metadataLiars = 0
  var withoutFast = false
  /// Give up after this many virtual seconds.
  var patience = 3600
  /// Invariants are checked after every so many turns.
  var checkEvery = 1

  var geometry: PieceGeometry {
    PieceGeometry(totalLength: Int64(pieces * pieceLength) - shortBy, pieceLength: pieceLength)
  }
}

/// What a peer does wrong.
enum Fault {
  case none
  /// Some of its blocks are not the right ones.
  case lies
  /// After a few blocks it no longer answers.
  case snubs
  /// It never unchokes.
  case chokes
  /// It gives out wrong metadata.
  case liesAboutMetadata
}
