import PeerWire
import Testing
import TorrentModel

@testable import Swarm

/// Stands in for SHA-1: different for different bytes as far as tests go, and the same everywhere.
@Sendable func digest(_ bytes: Span<UInt8>) -> Bytes20 {
  var state: UInt64 = 0xcbf2_9ce4_8422_2325
  for index in bytes.indices { state = (state ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01b3 }
  var random = SeededRandom(seed: state)
  return PeerID(prefix: "", using: &random).bytes
}

/// A fetch with drawn peers around it that answer as they are told to.
struct MetadataHarness {
  enum Behaviour {
    case honest
    /// Every piece is wrong.
    case lies
    /// Pieces of these numbers are wrong.
    case liesAbout(Set<Int>)
    case rejects
    case silent
    case late(Moment.Interval)
  }

  struct Peer {
    var behaviour: Behaviour
    var length: Int
    var endpoint: Endpoint
    var isGone = false
    var served = 0
    var open = 0
    var mostOpen = 0
  }

  let metadata: [UInt8]
  var fetch: MetadataFetch
  var peers: [Peer] = []
  var now = Moment.zero
  var random: SeededRandom
  var banned: [Endpoint] = []
  var disconnected: [PeerKey: MetadataOffence] = [:]
  var result: [UInt8]?
  /// Answers on their way.
  private var answers: [(at: Moment, key: PeerKey, piece: Int)] = []
  var greatestHeld = 0

  init(length: Int, seed: UInt64 = 1, _ change: (inout MetadataFetch.Configuration) -> Void = { _ in }) {
    var random = SeededRandom(seed: seed)
    let metadata = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    self.metadata = metadata
    var configuration = MetadataFetch.Configuration()
    change(&configuration)
    fetch = MetadataFetch(
      infoHash: InfoHash(digest(metadata.span)), configuration: configuration, sha1: digest)
    self.random = random
  }

  static func endpoint(_ number: Int) -> Endpoint {
    Endpoint(address: IPAddress(198, 51, UInt8(number / 200), UInt8(number % 200 + 1)), port: 6881)
  }

  mutating func join(_ behaviour: Behaviour, length: Int? = nil, at endpoint: Endpoint? = nil) -> PeerKey {
    let key = PeerKey(peers.count)
    let endpoint = endpoint ?? Self.endpoint(peers.count)
    peers.append(Peer(behaviour: behaviour, length: length ?? metadata.count, endpoint: endpoint))
    fetch.offered(by: key, at: endpoint, length: peers[key.offset].length, now: now)
    carryOut()
    return key
  }

  mutating func leave(_ key: PeerKey) {
    peers[key.offset].isGone = true
    fetch.withdrawn(by: key, now: now)
    carryOut()
  }

  mutating func carryOut() {
    greatestHeld = max(greatestHeld, fetch.heldLength)
    while !fetch.actions.isEmpty {
      let actions = fetch.actions
      fetch.actions.removeAll()
      for action in actions {
        switch action {
        case .request(let key, let piece): requested(key, piece)
        case .disconnect(let key, let offence):
          disconnected[key] = offence
          leave(key)
        case .ban(let endpoint):
          #expect(!banned.contains(endpoint), "banned twice")
          banned.append(endpoint)
          for index in peers.indices where peers[index].endpoint == endpoint { leave(PeerKey(index)) }
        case .complete(let bytes):
          #expect(result == nil)
          result = bytes
        }
      }
    }
  }

  private mutating func requested(_ key: PeerKey, _ piece: Int) {
    let peer = peers[key.offset]
    #expect(Metadata.range(ofPiece: piece, length: peer.length) != nil, "a piece that is not there")
    guard !peer.isGone else { return }
    peers[key.offset].open += 1
    peers[key.offset].mostOpen = max(peer.mostOpen, peer.open + 1)
    var delay = Moment.Interval.milliseconds(20 + Int(random.next() % 100))
    switch peer.behaviour {
    case .silent: return
    case .late(let more): delay = delay + more
    default: break
    }
    answers.append((now + delay, key, piece))
  }

  /// Lets time go by until nothing more happens, the metadata is here, or the time is over.
  mutating func run(seconds: Int = 600) {
    let end = now + .seconds(seconds)
    while result == nil {
      let next = answers.map(\.at).min() ?? .distantFuture
      let moment = min(next, fetch.nextDeadline)
      guard moment <= end else { break }
      now = max(now, moment)
      if next <= fetch.nextDeadline, let index = answers.firstIndex(where: { $0.at == next }) {
        let answer = answers.remove(at: index)
        self.answer(answer.key, answer.piece)
      } else {
        fetch.tick(now: now)
      }
      carryOut()
    }
    if result == nil { now = end }
  }

  private mutating func answer(_ key: PeerKey, _ piece: Int) {
    let peer = peers[key.offset]
    guard !peer.isGone else { return }
    peers[key.offset].open -= 1
    guard let range = Metadata.range(ofPiece: piece, length: peer.length) else { return }
    var isLie = peer.length != metadata.count
    switch peer.behaviour {
    case .rejects: return fetch.rejected(by: key, piece: piece, now: now)
    case .lies: isLie = true
    case .liesAbout(let pieces): isLie = isLie || pieces.contains(piece)
    default: break
    }
    peers[key.offset].served += 1
    let bytes =
      isLie
      ? [UInt8](repeating: UInt8(truncatingIfNeeded: random.next()), count: range.count)
      : Array(metadata[range])
    fetch.dataArrived(from: key, piece: piece, totalLength: peer.length, bytes: bytes, now: now)
  }

  var liars: Set<Endpoint> {
    Set(
      peers.filter {
        switch $0.behaviour {
        case .lies, .liesAbout: true
        default: $0.length != metadata.count
        }
      }.map(\.endpoint))
  }
}
