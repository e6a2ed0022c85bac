import PeerWire
import Testing
import TorrentModel

@testable import Swarm

@Suite struct PeerExchangeMachineTests {
  /// A machine, and what each peer makes of what it is told.
  struct Harness {
    var machine = PeerExchangeMachine()
    var now = Moment.zero
    var random = SeededRandom(seed: 5)
    var told: [PeerKey: Set<Endpoint>] = [:]
    var sentAt: [PeerKey: [Moment]] = [:]
    var flags: [PeerKey: PeerExchange.Flags] = [:]
    var lastFlags: [Endpoint: PeerExchange.Flags] = [:]

    static func endpoint(_ number: Int) -> Endpoint {
      Endpoint(address: IPAddress(198, 51, UInt8(number / 200), UInt8(number % 200 + 1)), port: 6881)
    }

    mutating func join(_ number: Int, takes: Bool = true, at endpoint: Endpoint? = nil) {
      let endpoint = endpoint ?? Self.endpoint(number)
      machine.peerConnected(PeerKey(number), at: endpoint.address, listensOn: endpoint, now: now)
      if takes { machine.exchangeChanged(PeerKey(number), takesMessages: true, now: now) }
      told[PeerKey(number)] = []
      sentAt[PeerKey(number)] = []
    }

    mutating func leave(_ number: Int) {
      machine.peerDisconnected(PeerKey(number))
      told[PeerKey(number)] = nil
    }

    mutating func run(seconds: Int) {
      let end = now + .seconds(seconds)
      while machine.nextDeadline <= end {
        now = max(now, machine.nextDeadline)
        let flags = flags
        for (key, message) in machine.tick(now: now, random: &random, flags: { flags[$0] ?? [] }) {
          #expect(!message.isEmpty)
          #expect(message.added.count <= 50 && message.dropped.count <= 50)
          #expect(Set(message.added.map(\.endpoint)).isDisjoint(with: message.dropped))
          #expect(
            Set(message.added.map(\.endpoint)).count == message.added.count, "told twice in one message")
          let last = sentAt[key]?.last
          #expect(last.map { now - $0 >= .seconds(60) } ?? true, "more than one message a minute")
          sentAt[key]?.append(now)
          told[key]?.subtract(message.dropped)
          told[key]?.formUnion(message.added.map(\.endpoint))
          for contact in message.added { lastFlags[contact.endpoint] = contact.flags }
        }
      }
      now = end
    }
  }

  @Test func twoLearnOfEachOtherSoon() {
    var harness = Harness()
    harness.flags[PeerKey(1)] = [.uploadOnly, .reachable]
    harness.join(0)
    harness.run(seconds: 30)
    #expect(harness.sentAt[PeerKey(0)] == [], "there is nothing to tell")
    harness.join(1)
    harness.run(seconds: 15)
    #expect(harness.told[PeerKey(0)] == [Harness.endpoint(1)])
    #expect(harness.told[PeerKey(1)] == [Harness.endpoint(0)])
    #expect(harness.lastFlags[Harness.endpoint(1)] == [.uploadOnly, .reachable])
    #expect(harness.lastFlags[Harness.endpoint(0)] == [])
  }

  @Test func everybodyIsToldInTheEnd() {
    var harness = Harness()
    for number in 0..<400 { harness.join(number) }
    harness.run(seconds: 60)
    #expect((0..<400).allSatisfy { (harness.told[PeerKey($0)]?.count ?? 0) == 50 })
    harness.run(seconds: 600)
    for number in 0..<400 {
      let expected = Set((0..<400).filter { $0 != number }.map { Harness.endpoint($0) })
      #expect(harness.told[PeerKey(number)] == expected)
    }
  }

  @Test func thoseThatLeaveAreTakenBack() {
    var harness = Harness()
    for number in 0..<60 { harness.join(number) }
    harness.run(seconds: 200)
    for number in 30..<60 { harness.leave(number) }
    harness.run(seconds: 130)
    for number in 0..<30 {
      #expect(
        harness.told[PeerKey(number)] == Set((0..<30).filter { $0 != number }.map { Harness.endpoint($0) }))
    }
    // A short visit is not worth a word.
    harness.join(40)
    harness.leave(40)
    let before = harness.sentAt
    harness.run(seconds: 130)
    #expect(harness.sentAt == before)
  }

  /// Peers come, go and come back; in the end everybody knows who is there.
  @Test(arguments: 1...12)
  func drawnChurnEndsRight(seed: UInt64) {
    var harness = Harness()
    var random = SeededRandom(seed: seed)
    var present: Set<Int> = []
    for _ in 0..<400 {
      let number = Int(random.next() % 80)
      if present.remove(number) != nil {
        harness.leave(number)
      } else {
        present.insert(number)
        harness.join(number)
      }
      if random.next() % 3 == 0 { harness.run(seconds: Int(random.next() % 30)) }
    }
    harness.run(seconds: 400)
    for number in present {
      let expected = Set(present.filter { $0 != number }.map { Harness.endpoint($0) })
      #expect(harness.told[PeerKey(number)] == expected, "peer \(number)")
    }
  }

  @Test func onlyThoseWhosePortIsKnownAreTold() {
    var harness = Harness()
    harness.join(0)
    harness.machine.peerConnected(PeerKey(1), at: IPAddress(1, 2, 3, 4), listensOn: nil, now: .zero)
    harness.run(seconds: 70)
    #expect(harness.told[PeerKey(0)] == [])
    harness.machine.listenEndpointKnown(PeerKey(1), Endpoint("1.2.3.4:99")!)
    harness.run(seconds: 15)
    #expect(harness.told[PeerKey(0)] == [Endpoint("1.2.3.4:99")!])
    // A second connection to the same place changes nothing.
    harness.machine.peerConnected(
      PeerKey(2), at: IPAddress(1, 2, 3, 4), listensOn: Endpoint("1.2.3.4:99")!, now: .zero)
    harness.machine.peerDisconnected(PeerKey(2))
    harness.run(seconds: 130)
    #expect(harness.told[PeerKey(0)] == [Endpoint("1.2.3.4:99")!])
  }

  @Test func addressesOfThisNetworkStayInIt() {
    var harness = Harness()
    harness.join(0)
    harness.join(1, at: Endpoint("192.168.1.5:6881"))
    harness.join(2, at: Endpoint("192.168.1.6:6881"))
    harness.run(seconds: 20)
    #expect(harness.told[PeerKey(0)] == [])
    #expect(harness.told[PeerKey(1)] == [Harness.endpoint(0), Endpoint("192.168.1.6:6881")!])
  }

  @Test func itIsSwitchedOffAndOn() {
    var harness = Harness()
    harness.join(0)
    for number in 1..<5 { harness.join(number, takes: false) }
    harness.run(seconds: 10)
    #expect(harness.sentAt[PeerKey(0)]?.count == 1)
    #expect(harness.sentAt[PeerKey(1)] == [], "it does not take them")
    harness.machine.exchangeChanged(PeerKey(0), takesMessages: false, now: harness.now)
    harness.join(6)
    harness.run(seconds: 200)
    #expect(harness.sentAt[PeerKey(0)]?.count == 1)
    harness.machine.exchangeChanged(PeerKey(0), takesMessages: true, now: harness.now)
    harness.run(seconds: 100)
    #expect(harness.sentAt[PeerKey(0)]?.count == 2)
    #expect(harness.told[PeerKey(0)]?.contains(Harness.endpoint(6)) == true)
  }

  /// Thousands of peers and events cost little: what is kept is bounded, and the time of a message does not depend on
  /// how many there are.
  @Test func thousandsAreNoBurden() {
    var harness = Harness()
    for number in 0..<3000 { harness.join(number) }
    for round in 0..<10 {
      for number in stride(from: round, to: 3000, by: 3) {
        harness.leave(number)
        harness.join(number)
      }
      harness.run(seconds: 61)
    }
    #expect(harness.told.values.allSatisfy { $0.count >= 50 })
    for number in 0..<3000 { harness.leave(number) }
    #expect(harness.machine.nextDeadline == .distantFuture)
  }

  // MARK: Receiving

  private func contacts(_ numbers: Range<Int>) -> PeerExchange.Message {
    PeerExchange.Message(added: numbers.map { PeerExchange.Contact(Harness.endpoint($0)) })
  }

  @Test func aMessageAMinuteIsTaken() {
    var harness = Harness()
    harness.join(0)
    for minute in 0..<60 {
      let verdict = harness.machine.messageReceived(
        from: PeerKey(0), contacts(10 + minute * 20..<30 + minute * 20), now: .zero + .seconds(minute * 60),
        isOwn: { _ in false })
      #expect(verdict == .contacts(contacts(10 + minute * 20..<30 + minute * 20).added))
    }
  }

  @Test func floodsAreIgnoredAndThenEnded() {
    var harness = Harness()
    harness.join(0)
    var verdicts: [PeerExchangeMachine.Verdict] = []
    for count in 0..<40 {
      verdicts.append(
        harness.machine.messageReceived(
          from: PeerKey(0), contacts(count * 50..<count * 50 + 50), now: .zero, isOwn: { _ in false }))
    }
    let taken = verdicts.reduce(0) { sum, verdict in
      if case .contacts(let contacts) = verdict { sum + contacts.count } else { sum }
    }
    #expect(taken == PeerExchangeMachine.contactBurst)
    #expect(verdicts[10] == .ignored && verdicts.last == .disconnect)
    #expect(
      harness.machine.messageReceived(from: PeerKey(77), contacts(0..<1), now: .zero, isOwn: { _ in false })
        == .ignored)
  }

  /// A day of full messages from one peer brings no more than its share.
  @Test func oneSourceIsNotAll() {
    var harness = Harness()
    harness.join(0)
    var taken = 0
    for minute in 0..<60 {
      let verdict = harness.machine.messageReceived(
        from: PeerKey(0), contacts(minute * 50..<minute * 50 + 50), now: .zero + .seconds(minute * 60),
        isOwn: { _ in false })
      if case .contacts(let contacts) = verdict { taken += contacts.count }
    }
    #expect((1400...1600).contains(taken), "\(taken)")
  }

  @Test func whatMakesNoSenseIsLeftOut() {
    var harness = Harness()
    harness.join(0)
    let own = Endpoint("9.9.9.9:1")!
    let message = PeerExchange.Message(
      added: ["9.9.9.9:1", "10.0.0.1:5", "127.0.0.1:5", "1.1.1.1:0", "8.8.8.8:1", "8.8.8.8:2"].map {
        PeerExchange.Contact(Endpoint($0)!)
      })
    #expect(
      harness.machine.messageReceived(from: PeerKey(0), message, now: .zero, isOwn: { $0 == own })
        == .contacts([.init(Endpoint("8.8.8.8:1")!)]))
    harness.join(1, at: Endpoint("192.168.1.5:6881"))
    #expect(
      harness.machine.messageReceived(from: PeerKey(1), message, now: .zero, isOwn: { $0 == own })
        == .contacts(["10.0.0.1:5", "127.0.0.1:5", "8.8.8.8:1"].map { .init(Endpoint($0)!) }))
  }
}
