import Foundation
import Hashing
import TorrentModel

@testable import DHT

/// Thousands of real DHT nodes in one process, and a network that loses, delays and lies.
///
/// Time is counted in steps of ``step``; what happens within one happens in the order in which it was planned, so that a
/// run is the same for the same seed.
final class DHTWorld {
  enum Conduct: UInt8 {
    case honest
    /// Takes everything and says nothing.
    case silent
    /// Answers at once, with nodes and peers that are none, and stores nothing.
    case lying
    /// Knows only its accomplices.
    case eclipsing
  }

  struct Event {
    var node: Int32
    /// Who sent the datagram; -1 for a timer.
    var sender: Int32
    var bytes: [UInt8]
  }

  static let step = Moment.Interval.milliseconds(5)
  /// Steps ahead that can be planned: 82 s. Timers further off fire early, which does no harm.
  static let wheelSize = 1 << 14

  var nodes: [DHTNode] = []
  var endpoints: [Endpoint] = []
  var conducts: [Conduct] = []
  var isUp: [Bool] = []
  private var timers: [Moment] = []
  private var places: [Endpoint: Int32] = [:]
  private var wheel: [[Event]] = Array(repeating: [], count: wheelSize)
  private(set) var steps = 0
  var random: SeededRandom
  var loss = 0.0
  var datagrams = 0
  /// Everything but what was sent, by node and lookup.
  var found: [LookupID: [Endpoint]] = [:]
  var results: [LookupID: LookupResult] = [:]
  /// Nodes whose lookups are counted: they do not leave.
  var engaged: Set<Int> = []
  /// The eclipsing nodes, for their answers.
  var accomplices: [Int] = []
  private var actions: [DHTAction] = []
  let configuration: DHTConfiguration

  init(seed: UInt64) {
    random = SeededRandom(seed: seed)
    var configuration = DHTConfiguration(
      sha1: { SHA1.digest(of: $0).withBytes { Bytes20($0) ?? Bytes20() } },
      verifySignature: { _, _, _ in false })
    configuration.usesV6 = false
    self.configuration = configuration
  }

  var now: Moment { .zero + Self.step * (steps + 200) }

  func drawAddress() -> IPAddress {
    while true {
      let address = IPAddress(v4: UInt32(truncatingIfNeeded: random.next()))
      if !address.isLocalOrSpecial, places[Endpoint(address: address, port: 6881)] == nil { return address }
    }
  }

  /// A node whose id complies with BEP 42.
  @discardableResult
  func add(_ conduct: Conduct, at address: IPAddress? = nil, id: NodeID? = nil) -> Int {
    let endpoint = Endpoint(address: address ?? drawAddress(), port: 6881)
    var state = DHTSavedState()
    state[.v4].id = id ?? NodeID(for: endpoint.address, using: &random)
    places[endpoint] = Int32(nodes.count)
    nodes.append(DHTNode(configuration, saved: state.encoded(), now: now, random: &random))
    endpoints.append(endpoint)
    conducts.append(conduct)
    isUp.append(true)
    timers.append(.distantFuture)
    return nodes.count - 1
  }

  func id(_ node: Int) -> NodeID { nodes[node].families[0]?.id ?? .zero }

  private func plan(_ event: Event, in steps: Int) {
    wheel[(self.steps + max(1, min(steps, Self.wheelSize - 1))) & (Self.wheelSize - 1)].append(event)
  }

  func arm(_ node: Int) {
    guard conducts[node] == .honest else { return }
    let deadline = nodes[node].nextDeadline
    guard deadline < timers[node] else { return }
    timers[node] = deadline
    let steps = (deadline - now).nanoseconds / Self.step.nanoseconds + 1
    plan(Event(node: Int32(node), sender: -1, bytes: []), in: Int(steps))
  }

  /// Does something with a node, and what follows from it.
  func with(_ node: Int, _ body: (inout DHTNode, Moment, inout SeededRandom, inout [DHTAction]) -> Void) {
    actions.removeAll(keepingCapacity: true)
    body(&nodes[node], now, &random, &actions)
    for action in actions {
      switch action {
      case .send(let bytes, let to): send(bytes, from: node, to)
      case .peersFound(let id, let peers): found[id, default: []] += peers
      case .lookupFinished(let id, let result): results[id] = result
      default: break
      }
    }
    arm(node)
  }

  private func send(_ bytes: [UInt8], from node: Int, _ to: Endpoint) {
    datagrams += 1
    guard let receiver = places[to], random.next() & 1023 >= UInt64(loss * 1024) else { return }
    // 20 to 150 ms, the same both ways between two nodes.
    let distance = (node &* 0x9e37 &+ Int(receiver) &* 0x9e37) & 0xff
    plan(Event(node: receiver, sender: Int32(node), bytes: bytes), in: 4 + distance / 10)
  }

  func run(_ interval: Moment.Interval, every: ((DHTWorld) -> Void)? = nil) {
    for _ in 0..<Int(interval.nanoseconds / Self.step.nanoseconds) {
      steps += 1
      if let every, steps % 200 == 0 { every(self) }
      let slot = steps & (Self.wheelSize - 1)
      guard !wheel[slot].isEmpty else { continue }
      var events: [Event] = []
      swap(&events, &wheel[slot])
      for event in events { happen(event) }
    }
  }

  private func happen(_ event: Event) {
    let node = Int(event.node)
    guard isUp[node] else { return }
    if event.sender < 0 {
      timers[node] = .distantFuture
      return with(node) { $0.timerFired(now: $1, random: &$2, into: &$3) }
    }
    let sender = endpoints[Int(event.sender)]
    switch conducts[node] {
    case .honest:
      with(node) {
        $0.datagramArrived(event.bytes.span, from: sender, now: $1, random: &$2, into: &$3)
      }
    case .silent: break
    case .lying, .eclipsing: answerFalsely(node, event.bytes, sender)
    }
  }

  /// What liars say: whoever asks for a target is named nodes very near to it, which do not exist or are accomplices.
  private func answerFalsely(_ node: Int, _ bytes: [UInt8], _ sender: Endpoint) {
    guard let message = try? KRPCMessage.decode(bytes.span), message.kind == .query else { return }
    var writer = KRPCWriter(reserving: 400)
    writer.literal("d1:rd2:id")
    writer.point(id(node))
    if let target = message.target, message.method != .announcePeer {
      writer.literal("5:nodes208:")
      if conducts[node] == .lying {
        for _ in 0..<8 {
          let near = target.neighbor(sharing: Int.random(in: 16..<40, using: &random), using: &random)
          CompactNode.append(near, Endpoint(address: drawAddress(), port: 6881), to: &writer.bytes)
        }
      } else {
        let nearest = accomplices.sorted { id($0) ^ target < id($1) ^ target }
        for accomplice in nearest.prefix(8) {
          CompactNode.append(id(accomplice), endpoints[accomplice], to: &writer.bytes)
        }
      }
      writer.literal("5:token4:liar")
      if conducts[node] == .lying, message.method == .getPeers, random.next() & 1 == 0 {
        writer.literal("6:valuesl6:")
        Endpoint(address: drawAddress(), port: 1).appendCompact(to: &writer.bytes)
        writer.literal("e")
      }
    }
    writer.literal("e1:t")
    writer.string(bytes.span.extracting(message.transaction.range))
    writer.literal("1:y1:re")
    send(writer.bytes, from: node, sender)
  }

  func takeDown(_ node: Int) {
    isUp[node] = false
    places[endpoints[node]] = nil
  }

  /// Bytes of memory that this process has.
  static var residentBytes: Int {
    let fields =
      (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4096 : 0
  }
}
