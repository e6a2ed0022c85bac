import HeapModule
import TorrentModel

@testable import DHT

/// A few nodes, and a network between them.
final class Net {
  private struct Event: Comparable {
    var time: Moment
    var number: Int
    var node: Int
    /// A datagram with its sender, or a timer.
    var datagram: (bytes: [UInt8], from: Endpoint)?

    static func < (a: Event, b: Event) -> Bool {
      a.time != b.time ? a.time < b.time : a.number < b.number
    }
    static func == (a: Event, b: Event) -> Bool { a.number == b.number }
  }

  var nodes: [DHTNode] = []
  var endpoints: [[Endpoint]] = []
  var actions: [[DHTAction]] = []
  var isDown: Set<Int> = []
  var loss = 0.0
  var latency = Moment.Interval.milliseconds(30)
  var now = Moment.seconds(1)
  var random: SeededRandom
  private var places: [Endpoint: Int] = [:]
  private var events = Heap<Event>()
  private var timers: [Moment] = []
  private var eventCount = 0

  init(seed: UInt64 = 1) { random = SeededRandom(seed: seed) }

  /// A node at a random public address of each family that it uses.
  @discardableResult
  func add(_ configuration: DHTConfiguration = .plain, saved: [UInt8]? = nil, at endpoint: Endpoint? = nil)
    -> Int
  {
    var own: [Endpoint] = endpoint.map { [$0] } ?? []
    if endpoint == nil {
      if configuration.usesV4 { own.append(Self.publicV4(&random)) }
      if configuration.usesV6 {
        own.append(
          Endpoint(
            address: IPAddress(high: 0x2a00_0000_0000_0000 | random.next() >> 16, low: random.next()),
            port: 6881))
      }
    }
    for endpoint in own { places[endpoint] = nodes.count }
    endpoints.append(own)
    nodes.append(DHTNode(configuration, saved: saved, now: now, random: &random))
    actions.append([])
    timers.append(.distantFuture)
    arm(nodes.count - 1)
    return nodes.count - 1
  }

  static func publicV4(_ random: inout SeededRandom) -> Endpoint {
    while true {
      let address = IPAddress(v4: UInt32(truncatingIfNeeded: random.next()))
      if !address.isLocalOrSpecial { return Endpoint(address: address, port: 6881) }
    }
  }

  private func plan(_ node: Int, at time: Moment, _ datagram: (bytes: [UInt8], from: Endpoint)? = nil) {
    eventCount += 1
    events.insert(Event(time: time, number: eventCount, node: node, datagram: datagram))
  }

  private func arm(_ node: Int) {
    let deadline = nodes[node].nextDeadline
    guard deadline < timers[node] else { return }
    timers[node] = deadline
    plan(node, at: deadline)
  }

  /// Does something with a node, and what follows from it.
  func with(_ node: Int, _ body: (inout DHTNode, Moment, inout SeededRandom, inout [DHTAction]) -> Void) {
    var new: [DHTAction] = []
    body(&nodes[node], now, &random, &new)
    for action in new {
      if case .send(let bytes, let to) = action {
        deliver(bytes, from: node, to)
      } else {
        actions[node].append(action)
      }
    }
    arm(node)
  }

  private func deliver(_ bytes: [UInt8], from node: Int, _ to: Endpoint) {
    guard let receiver = places[to], Double.random(in: 0..<1, using: &random) >= loss,
      let from = endpoints[node].first(where: { $0.address.isV4 == to.address.isV4 })
    else { return }
    plan(receiver, at: now + latency, (bytes, from))
  }

  func run(_ interval: Moment.Interval) {
    let end = now + interval
    while let event = events.min, event.time <= end {
      events.removeMin()
      now = max(now, event.time)
      guard !isDown.contains(event.node) else { continue }
      with(event.node) { node, now, random, actions in
        if let (bytes, from) = event.datagram {
          node.datagramArrived(bytes.span, from: from, now: now, random: &random, into: &actions)
        } else {
          timers[event.node] = .distantFuture
          node.timerFired(now: now, random: &random, into: &actions)
        }
      }
    }
    now = end
  }

  /// A lookup, run to its end.
  func look(_ node: Int, _ goal: LookupGoal, id: UInt64) -> (
    result: LookupResult?, peers: [Endpoint], items: [DHTItem]
  ) {
    with(node) { $0.startLookup(goal, as: LookupID(id), now: $1, random: &$2, into: &$3) }
    run(.seconds(30))
    var result: LookupResult?
    var peers: [Endpoint] = []
    var items: [DHTItem] = []
    for action in actions[node] {
      switch action {
      case .lookupFinished(LookupID(id), let end): result = end
      case .peersFound(LookupID(id), let found): peers += found
      case .itemFound(LookupID(id), let item): items.append(item)
      default: break
      }
    }
    return (result, peers, items)
  }

  /// `count` nodes that know the first, after some time.
  static func grown(
    _ count: Int, _ configuration: DHTConfiguration = .plain, seed: UInt64 = 1,
    for time: Moment.Interval = .seconds(60)
  ) -> Net {
    let net = Net(seed: seed)
    for index in 0..<count {
      net.add(configuration)
      if index > 0 {
        let first = net.endpoints[0]
        net.with(index) { $0.bootstrap(from: first, now: $1, random: &$2, into: &$3) }
      }
      net.run(.milliseconds(200))
    }
    net.run(time)
    return net
  }
}
