import PeerWire
import TorrentModel

@testable import Swarm

/// A swarm of real clients in a virtual world: clock, network and disks are simulated from one seed, so that every run
/// can be repeated exactly.
final class World {
  enum Action {
    case start(node: Int)
    case dialled(node: Int, Endpoint)
    case arrived(connection: Int, atInitiator: Bool, Packet)
    case ticked(node: Int)
    case exchangeTicked(node: Int)
    case hashed(node: Int, PieceIndex, job: Int)
    case blockRead(node: Int, connection: Int, BlockRequest)
    case blockLeft(node: Int, connection: Int, BlockRequest)
    case trackerAnswered(node: Int)
    case connectionBroke
    case diskBroke(node: Int)
    case diskRepaired(node: Int)
  }

  let scenario: Scenario
  let geometry: PieceGeometry
  /// What an info dictionary would be.
  let metadata: [UInt8]
  var random: SeededRandom
  var queue = EventQueue<Action>()
  var nodes: [VirtualNode] = []
  var connections: [Connection] = []
  var log = EventLog()
  var now = Moment.zero
  private(set) var turns = 0
  /// Reasons for which honest peers closed connections to honest peers.
  var reasons: [DisconnectReason: Int] = [:]
  /// Encoded messages of the turn under way, by connection.
  private var outgoing: [(connection: Int, bytes: [UInt8])] = []
  var isEnding = false

  init(_ scenario: Scenario, seed: UInt64) {
    self.scenario = scenario
    self.geometry = scenario.geometry
    self.random = SeededRandom(seed: seed)
    var bytes = SeededRandom(seed: ~seed)
    self.metadata = (0..<scenario.metadataLength).map { _ in UInt8(truncatingIfNeeded: bytes.next()) }
    let faults =
      [Fault](repeating: .liesAboutMetadata, count: scenario.metadataLiars)
      + [Fault](repeating: .lies, count: scenario.liars)
      + [Fault](repeating: .snubs, count: scenario.snubbers)
      + [Fault](repeating: .chokes, count: scenario.chokers)
    for index in 0..<(scenario.seeds + scenario.leechers) {
      let isSeed = index < scenario.seeds
      let fault =
        isSeed || index - scenario.seeds >= faults.count ? Fault.none : faults[index - scenario.seeds]
      nodes.append(makeNode(index, isSeed: isSeed, fault: fault, contentSeed: seed))
      // They come one after the other, within some seconds.
      queue.plan(.start(node: index), at: .zero + .milliseconds(random.below(5000)))
    }
    if scenario.breakEvery > 0 { planBreak() }
    for index in 0..<scenario.failingDisks {
      let node = scenario.seeds + scenario.leechers - 1 - index
      queue.plan(.diskBroke(node: node), at: .zero + .milliseconds(6000 + random.below(5000)))
    }
  }

  private func makeNode(_ index: Int, isSeed: Bool, fault: Fault, contentSeed: UInt64) -> VirtualNode {
    let slow = !isSeed && index >= scenario.seeds + scenario.leechers - scenario.slow
    let range = scenario.bandwidth
    let rate = slow ? 10_000 : range.lowerBound + random.below(range.count)
    let latency = scenario.latency.lowerBound + random.below(scenario.latency.count)
    // A liar has something to lie about.
    let head = fault == .lies ? 1 : scenario.head
    let held = (0..<geometry.pieceCount).map { _ in isSeed || Double(random.below(1000)) < head * 1000 }
    var have = Bitfield(capacity: geometry.pieceCount)
    for (piece, isHeld) in held.enumerated() where isHeld { have.insert(PieceIndex(piece)) }
    let peerID = PeerID(prefix: "-S80100-", using: &random)
    let metadata = metadata
    var configuration = SwarmConfiguration(ownPeerID: peerID)
    configuration.sha1 = Self.digest
    let swarm = Swarm(
      infoHash: InfoHash(Self.digest(metadata.span)), geometry: geometry, have: have,
      configuration: SwarmConfiguration.Shared(configuration), seed: random.next(), now: .zero)
    swarm.openBlockBudget = scenario.openBlockBudget
    swarm.maximumConnections = scenario.maximumConnections
    swarm.halfOpenLimit = 8
    swarm.sequentialChanged(scenario.isSequential, now: .zero)
    // Whoever introduces all has room for all.
    if scenario.isIntroducedByOne, index == 0 {
      swarm.maximumConnections = 2 * (scenario.seeds + scenario.leechers)
    }
    var node = VirtualNode(
      endpoint: Endpoint(
        address: IPAddress(10, 0, UInt8(index / 200), UInt8(index % 200 + 1)), port: UInt16(6881 + index)),
      peerID: peerID, fault: fault, isSeed: isSeed, swarm: swarm,
      disk: VirtualDisk(geometry: geometry, contentSeed: contentSeed) { held[$0.offset] },
      line: Line(up: rate, down: rate * 2, latency: .milliseconds(latency)))
    prepareExtensions(of: &node, configuration)
    return node
  }

  /// Not SHA-1, but the same for everybody.
  @Sendable static func digest(_ bytes: Span<UInt8>) -> Bytes20 {
    var state: UInt64 = 1
    for i in bytes.indices { state = (state ^ UInt64(bytes[i])) &* 0x0000_0100_0000_01b3 }
    var random = SeededRandom(seed: state)
    return PeerID(prefix: "", using: &random).bytes
  }

  private func planBreak() {
    let milliseconds = Int(scenario.breakEvery * 1000)
    queue.plan(.connectionBroke, at: now + .milliseconds(1 + random.below(2 * milliseconds)))
  }

  // MARK: Running

  /// Runs until every honest node is complete. Throws when that takes too long, or something is wrong.
  func run() throws {
    while !isFinished {
      guard now < .zero + .seconds(scenario.patience), try step() else {
        throw Failure(
          "not finished after \(now.nanoseconds / 1_000_000_000) s: "
            + nodes.indices.filter { !isDone($0) }.map { "\($0): \(nodes[$0].swarm.haveCount)" }.joined(
              separator: ", "))
      }
    }
    for (index, node) in nodes.enumerated() where node.fault == .none && !scenario.endsWhenFilled {
      for piece in 0..<geometry.pieceCount where !node.disk.isRight(PieceIndex(piece)) {
        throw Failure("node \(index) has a wrong piece \(piece)")
      }
    }
  }

  /// Everybody leaves. Nothing may be left behind.
  func end() throws {
    isEnding = true
    for index in nodes.indices { frontTurn(index) { $0.paused(now: self.now) } }
    while try step() {}
    for (index, node) in nodes.enumerated() {
      guard node.openConnections == 0 else { throw Failure("node \(index) has connections left") }
      guard node.disk.leases == 0 else { throw Failure("node \(index) has \(node.disk.leases) leases left") }
      guard node.disk.jobCount == 0 else { throw Failure("node \(index) has jobs left") }
      guard node.front.nextDeadline == .distantFuture else { throw Failure("node \(index) has a timer left") }
      try node.swarm.checkInvariants()
    }
  }

  private func isDone(_ index: Int) -> Bool {
    if scenario.endsWhenFilled { return nodes[index].filledAt != nil }
    return nodes[index].fault != .none || nodes[index].swarm.isComplete
  }
  private var isFinished: Bool { nodes.indices.allSatisfy(isDone) }

  /// Does the next thing that is planned; false if there is none.
  private func step() throws -> Bool {
    guard let (time, action) = queue.next() else { return false }
    precondition(time >= now)
    now = time
    perform(action)
    if let broken { throw broken }
    return true
  }

  private var broken: (any Error)?

  /// Lets something happen to the swarm of a node, ends its turn and carries out what it wants.
  func turn(_ index: Int, _ event: (Swarm) -> Void) {
    let swarm = nodes[index].swarm
    event(swarm)
    swarm.turnEnded(now: now)
    while !swarm.effects.isEmpty {
      let effects = swarm.effects
      swarm.effects.removeAll()
      for effect in effects { carryOut(effect, of: index) }
      flush(from: index)
      swarm.turnEnded(now: now)
    }
    if swarm.isComplete, nodes[index].finishedAt == nil { nodes[index].finishedAt = now }
    planTick(index)
    turns += 1
    if turns % scenario.checkEvery == 0, broken == nil {
      do { try swarm.checkInvariants() } catch { broken = error }
    }
  }

  /// Plans the next tick, if it is to come before the one that is planned.
  func planTick(_ index: Int) {
    let deadline = nodes[index].front.nextDeadline
    if deadline < nodes[index].tickAt {
      nodes[index].tickAt = max(deadline, now)
      queue.plan(.ticked(node: index), at: nodes[index].tickAt)
    }
    planExchange(index)
  }

  // MARK: Sending

  func send(_ message: PeerMessage, from index: Int, to key: PeerKey) {
    guard let (id, _) = nodes[index].connection(key) else {
      broken = Failure("node \(index) sends \(message) to nobody")
      return
    }
    if outgoing.last?.connection != id { outgoing.append((id, [])) }
    message.append(to: &outgoing[outgoing.count - 1].bytes)
  }

  func flush(from index: Int) {
    for (id, bytes) in outgoing { transmit(.messages(bytes), bytes.count, from: index, over: id) }
    outgoing.removeAll()
  }

  /// Puts a packet on the line. Returns when it has left.
  @discardableResult
  func transmit(_ packet: Packet, _ bytes: Int, from index: Int, over id: Int) -> Moment {
    let isInitiator = connections[id].initiator.node == index
    let other = connections[id][!isInitiator].node
    let left = nodes[index].line.send(bytes + 40, now: now)
    let arriving = left + nodes[index].line.latency + nodes[other].line.latency
    let there = nodes[other].line.receive(bytes + 40, arriving: arriving)
    queue.plan(.arrived(connection: id, atInitiator: !isInitiator, packet), at: there)
    return left
  }

  /// What the run came to, for a reader.
  var summary: String {
    let states = nodes.map { $0.swarm.snapshot(now: now) }
    let redundant = states.reduce(0) { $0 + $1.redundant } / Int64(blockLength)
    let corrupt = states.reduce(0) { $0 + $1.corrupt } / Int64(blockLength)
    let times = nodes.compactMap { $0.finishedAt.map { Double($0.nanoseconds / 1_000_000) / 1000 } }.sorted()
    let bans = nodes.reduce(0) { $0 + $1.banned.count }
    let ends = reasons.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.key): \($0.value)" }
    return
      "\(turns) turns, median \(times.isEmpty ? 0 : times[times.count / 2]) s, last \(times.last ?? 0) s, "
      + "redundant blocks \(redundant), corrupt \(corrupt), bans \(bans), ends \(ends)"
  }

  func fail(_ message: String) { if broken == nil { broken = Failure(message) } }
  func planNextBreak() { if !isEnding { planBreak() } }

  struct Failure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
  }
}

extension SeededRandom {
  mutating func below(_ bound: Int) -> Int { Int(next() >> 1) % bound }
}
