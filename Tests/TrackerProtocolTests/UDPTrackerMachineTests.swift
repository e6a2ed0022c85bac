import Testing
import TorrentModel
import TrackerProtocol

/// A machine with a clock, and a log of what it sends: seconds and kind.
private struct Exchange {
  var machine: UDPTrackerMachine
  var random = SeededRandom(seed: 1)
  var now = Moment.zero
  var sent: [UDPTrackerRequest] = []
  var log: [String] = []
  var outcomes: [UDPTrackerMachine.Action] = []

  static let tracker = Endpoint("192.0.2.1:6969")!

  init(tracker: Endpoint = tracker) { machine = UDPTrackerMachine(tracker: tracker) }

  mutating func take(_ actions: [UDPTrackerMachine.Action]) {
    for action in actions {
      guard case .send(let datagram) = action else {
        outcomes.append(action)
        continue
      }
      guard let request = UDPTrackerRequest(datagram.span) else {
        Issue.record("not a request: \(datagram)")
        continue
      }
      sent.append(request)
      let kind =
        switch request {
        case .connect: "connect"
        case .announce: "announce"
        case .scrape: "scrape"
        }
      log.append("\(Int(now.nanoseconds / 1_000_000_000)) \(kind)")
    }
  }

  mutating func submit(
    _ request: UDPTrackerMachine.Request = .announce(sampleRequest, urlData: []), as id: UInt64 = 1,
    retransmissions: Int = 8
  ) {
    var actions: [UDPTrackerMachine.Action] = []
    machine.submit(
      request, as: .init(id), retransmissions: retransmissions, now: now, random: &random, into: &actions)
    take(actions)
  }

  mutating func cancel(_ id: UInt64) {
    var actions: [UDPTrackerMachine.Action] = []
    machine.cancel(.init(id), now: now, random: &random, into: &actions)
    take(actions)
  }

  mutating func receive(_ datagram: [UInt8], from sender: Endpoint? = nil) {
    var actions: [UDPTrackerMachine.Action] = []
    machine.datagramArrived(
      datagram.span, from: sender ?? machine.tracker, now: now, random: &random, into: &actions)
    take(actions)
  }

  mutating func receive(_ reply: UDPTrackerReply, from sender: Endpoint? = nil) {
    receive(reply.encoded(isV4: machine.tracker.address.isV4), from: sender)
  }

  /// Lets time pass, with timers firing when they are due.
  mutating func advance(to second: Double) {
    let end = Moment.seconds(second)
    while let deadline = machine.nextDeadline, deadline <= end {
      now = max(now, deadline)
      var actions: [UDPTrackerMachine.Action] = []
      machine.timerFired(now: now, random: &random, into: &actions)
      take(actions)
    }
    now = end
  }

  var lastTransaction: UInt32 {
    switch sent.last {
    case .connect(let transaction)?: transaction
    case .announce(_, let transaction, _, _, _)?: transaction
    case .scrape(_, let transaction, _)?: transaction
    case nil: 0
    }
  }

  /// Answers the last request for a connection id.
  mutating func connect(_ connection: UInt64 = 77) {
    receive(.connect(transaction: lastTransaction, connection: connection))
  }
}

@Suite struct UDPTrackerMachineTests {
  let reply = AnnounceReply(interval: .seconds(1800), peers: [Endpoint("10.0.0.1:1")!], seeds: 1, leechers: 2)

  // The four examples of BEP 15.

  @Test func aNormalAnnounce() {
    var exchange = Exchange()
    exchange.submit(.announce(sampleRequest, urlData: [0x2f]))
    exchange.advance(to: 1)
    exchange.connect(77)
    #expect(
      exchange.sent.last
        == .announce(connection: 77, transaction: exchange.lastTransaction, sampleRequest, urlData: [0x2f]))
    exchange.advance(to: 2)
    exchange.receive(.announce(transaction: exchange.lastTransaction, reply))
    #expect(exchange.log == ["0 connect", "1 announce"])
    #expect(exchange.outcomes == [.completeAnnounce(.init(1), reply)])
    #expect(exchange.machine.isIdle && exchange.machine.nextDeadline == nil)
  }

  @Test func connectTimesOut() {
    var exchange = Exchange()
    exchange.submit()
    exchange.advance(to: 3824)
    #expect(
      exchange.log == [0, 15, 45, 105, 225, 465, 945, 1905].map { "\($0) connect" })
    exchange.advance(to: 7664)
    #expect(exchange.log.last == "3825 connect" && exchange.outcomes.isEmpty)
    exchange.advance(to: 7665)
    #expect(exchange.log.count == 9)
    #expect(exchange.outcomes == [.fail(.init(1), .timedOut)])
    #expect(exchange.machine.isIdle)
  }

  @Test func announceTimesOut() {
    var exchange = Exchange()
    exchange.submit()
    exchange.advance(to: 2)
    exchange.connect()
    exchange.advance(to: 300)
    #expect(
      exchange.log == [
        "0 connect", "2 announce", "17 announce", "47 announce", "107 connect", "227 connect",
      ])
    // The id that comes at last goes with the announce that waited for it.
    exchange.connect(78)
    guard case .announce(78, _, _, _, _)? = exchange.sent.last else {
      Issue.record("\(exchange.log)")
      return
    }
    exchange.receive(.announce(transaction: exchange.lastTransaction, reply))
    #expect(exchange.outcomes == [.completeAnnounce(.init(1), reply)])
  }

  @Test func multipleRequestsShareAConnection() {
    var exchange = Exchange()
    exchange.submit(as: 1)
    exchange.advance(to: 1)
    exchange.connect()
    exchange.advance(to: 3)
    exchange.receive(.announce(transaction: exchange.lastTransaction, reply))
    exchange.advance(to: 60)
    exchange.submit(as: 2)
    exchange.receive(.announce(transaction: exchange.lastTransaction, reply))
    exchange.advance(to: 62)
    exchange.submit(as: 3)
    exchange.submit(.scrape([infoHash("a")]), as: 4)
    exchange.advance(to: 63)
    exchange.connect()
    #expect(
      exchange.log == ["0 connect", "1 announce", "60 announce", "62 connect", "63 announce", "63 scrape"])
    let entry = ScrapeEntry(seeds: 1, downloaded: 2, leechers: 3)
    exchange.receive(.scrape(transaction: exchange.lastTransaction, [entry]))
    guard case .announce(_, let transaction, _, _, _) = exchange.sent[4] else {
      Issue.record("no announce")
      return
    }
    exchange.receive(.announce(transaction: transaction, reply))
    #expect(
      exchange.outcomes.suffix(2) == [.completeScrape(.init(4), [entry]), .completeAnnounce(.init(3), reply)])
  }

  @Test func retransmissionsAreTheCallersToLimit() {
    var exchange = Exchange()
    exchange.submit(retransmissions: 1)
    exchange.advance(to: 44)
    #expect(exchange.outcomes.isEmpty)
    exchange.advance(to: 45)
    #expect(exchange.outcomes == [.fail(.init(1), .timedOut)])
    exchange.submit(as: 2, retransmissions: 0)
    exchange.advance(to: 60)
    #expect(exchange.outcomes.last == .fail(.init(2), .timedOut))
    #expect(exchange.log == ["0 connect", "15 connect", "45 connect"])
  }

  @Test func datagramsOfOthersAreIgnored() {
    var exchange = Exchange()
    exchange.submit()
    let transaction = exchange.lastTransaction
    for sender in ["192.0.2.1:6970", "192.0.2.2:6969", "[::1]:6969"] {
      exchange.receive(.connect(transaction: transaction, connection: 1), from: Endpoint(sender)!)
    }
    exchange.receive(.connect(transaction: transaction &+ 1, connection: 1))
    exchange.receive(.announce(transaction: transaction, reply))
    exchange.receive([])
    exchange.receive(bytes(hex: "00000000 00"))
    exchange.receive(
      Array(UDPTrackerReply.connect(transaction: transaction, connection: 1).encoded(isV4: true).dropLast()))
    #expect(exchange.log == ["0 connect"] && exchange.outcomes.isEmpty)
    exchange.connect()
    let announce = exchange.lastTransaction
    exchange.receive(.announce(transaction: announce &+ 1, reply))
    exchange.receive(.announce(transaction: announce, reply), from: Endpoint("192.0.2.1:1")!)
    // The answer to the connect comes once more.
    exchange.receive(.connect(transaction: transaction, connection: 2))
    #expect(exchange.log == ["0 connect", "0 announce"] && exchange.outcomes.isEmpty)
    exchange.receive(.announce(transaction: announce, reply))
    #expect(exchange.outcomes == [.completeAnnounce(.init(1), reply)])
  }

  @Test func answersOfTheWrongKindFailTheRequest() {
    var exchange = Exchange()
    exchange.submit(as: 1)
    exchange.connect()
    exchange.receive(.scrape(transaction: exchange.lastTransaction, []))
    exchange.submit(as: 2)
    exchange.receive(.connect(transaction: exchange.lastTransaction, connection: 3))
    exchange.submit(.scrape([infoHash("a")]), as: 3)
    exchange.receive(.announce(transaction: exchange.lastTransaction, reply))
    exchange.submit(.scrape([infoHash("a"), infoHash("b")]), as: 4)
    exchange.receive(.scrape(transaction: exchange.lastTransaction, [ScrapeEntry(seeds: 1)]))
    exchange.submit(as: 5)
    var short = UDPTrackerReply.announce(transaction: exchange.lastTransaction, AnnounceReply()).encoded(
      isV4: true)
    short.removeLast()
    exchange.receive(short)
    exchange.submit(.scrape([infoHash("a")]), as: 6)
    exchange.receive(
      .scrape(
        transaction: exchange.lastTransaction,
        [ScrapeEntry(seeds: 1, downloaded: 0, leechers: 0), ScrapeEntry()]))
    #expect(
      exchange.outcomes == [
        .fail(.init(1), .unexpectedAction(2)), .fail(.init(2), .unexpectedAction(0)),
        .fail(.init(3), .unexpectedAction(1)), .fail(.init(4), .truncatedReply(length: 20, needed: 32)),
        .fail(.init(5), .truncatedReply(length: 19, needed: 20)),
        .completeScrape(.init(6), [ScrapeEntry(seeds: 1, downloaded: 0, leechers: 0)]),
      ])
  }

  @Test func refusalsAreHandedOn() {
    var exchange = Exchange()
    exchange.submit(as: 1)
    exchange.submit(as: 2)
    exchange.receive(.error(transaction: exchange.lastTransaction, message: "go away"))
    let refusal = TrackerError.failure(reason: "go away", retry: nil)
    #expect(exchange.outcomes == [.fail(.init(1), refusal), .fail(.init(2), refusal)])
    exchange.submit(as: 3)
    exchange.connect()
    exchange.receive(.error(transaction: exchange.lastTransaction, message: "go away"))
    #expect(exchange.outcomes.last == .fail(.init(3), refusal))
    #expect(exchange.log == ["0 connect", "0 connect", "0 announce"])
  }

  /// A tracker that was restarted does not know the connection ids it gave before.
  @Test func aStaleConnectionIsRenewedOnce() {
    var exchange = Exchange()
    exchange.submit(as: 1)
    exchange.connect(1)
    exchange.receive(.announce(transaction: exchange.lastTransaction, reply))
    exchange.advance(to: 30)
    exchange.submit(as: 2)
    exchange.submit(as: 3)
    guard case .announce(1, let second, _, _, _) = exchange.sent[2],
      case .announce(1, let third, _, _, _) = exchange.sent[3]
    else {
      Issue.record("\(exchange.log)")
      return
    }
    exchange.receive(.error(transaction: second, message: "bad connection"))
    #expect(exchange.log.suffix(1) == ["30 connect"])
    exchange.connect(2)
    #expect(exchange.log.suffix(1) == ["30 announce"])
    let retried = exchange.lastTransaction
    // The other one finds the new connection there.
    exchange.receive(.error(transaction: third, message: "bad connection"))
    #expect(exchange.log.suffix(2) == ["30 announce", "30 announce"])
    guard case .announce(2, let again, _, _, _)? = exchange.sent.last else {
      Issue.record("\(exchange.log)")
      return
    }
    exchange.receive(.announce(transaction: retried, reply))
    exchange.receive(.error(transaction: again, message: "still bad"))
    #expect(
      exchange.outcomes == [
        .completeAnnounce(.init(1), reply), .completeAnnounce(.init(2), reply),
        .fail(.init(3), .failure(reason: "still bad", retry: nil)),
      ])
  }

  @Test func manyTorrentsDoNotFloodTheirTracker() {
    var exchange = Exchange()
    for id in 0..<200 { exchange.submit(as: UInt64(id)) }
    #expect(exchange.log == ["0 connect"])
    exchange.connect()
    #expect(exchange.sent.count == 65)
    var answered = 1
    while answered < exchange.sent.count {
      if case .announce(_, let transaction, _, _, _) = exchange.sent[answered] {
        exchange.receive(.announce(transaction: transaction, reply))
      }
      answered += 1
      #expect(exchange.sent.count - answered <= UDPTrackerMachine.inFlightLimit)
    }
    #expect(exchange.outcomes == (0..<200).map { .completeAnnounce(.init(UInt64($0)), reply) })
    #expect(Set(exchange.sent).count == 201)
    #expect(exchange.machine.isIdle)
  }

  @Test func aSilentTrackerFailsThoseInLineToo() {
    var exchange = Exchange()
    for id in 0..<200 { exchange.submit(as: UInt64(id), retransmissions: 1) }
    exchange.advance(to: 45)
    #expect(exchange.outcomes.count == 200)
    #expect(exchange.log == ["0 connect", "15 connect"])
    #expect(exchange.machine.isIdle)
  }

  @Test func requestsThatComeWhileConnectingDoNotAskAgain() {
    var exchange = Exchange()
    exchange.submit(as: 1)
    exchange.advance(to: 10)
    exchange.submit(as: 2)
    exchange.advance(to: 44)
    #expect(exchange.log == ["0 connect", "15 connect"])
    exchange.connect()
    #expect(exchange.log.suffix(2) == ["44 announce", "44 announce"])
  }

  @Test func cancelledRequestsAreForgotten() {
    var exchange = Exchange()
    exchange.submit(as: 1)
    exchange.submit(as: 2)
    exchange.cancel(1)
    exchange.connect()
    #expect(exchange.log == ["0 connect", "0 announce"])
    let transaction = exchange.lastTransaction
    exchange.cancel(2)
    #expect(exchange.machine.isIdle && exchange.machine.nextDeadline == nil)
    exchange.receive(.announce(transaction: transaction, reply))
    #expect(exchange.outcomes.isEmpty)
    // A place that became free is taken.
    for id in 10..<80 { exchange.submit(as: UInt64(id)) }
    let before = exchange.sent.count
    exchange.cancel(10)
    #expect(exchange.sent.count == before + 1)
  }

  @Test func anUnreachableNetworkFailsEverything() {
    var exchange = Exchange()
    for id in 0..<70 { exchange.submit(as: UInt64(id)) }
    var actions: [UDPTrackerMachine.Action] = []
    exchange.machine.networkFailed("connection refused", into: &actions)
    #expect(actions == (0..<70).map { .fail(.init(UInt64($0)), .cannotConnect("connection refused")) })
    #expect(exchange.machine.isIdle)
    exchange.submit(as: 100)
    #expect(exchange.log == ["0 connect", "0 connect"])
  }

  @Test func theAddressFamilyDecidesHowPeersAreRead() {
    var exchange = Exchange(tracker: Endpoint("[2001:db8::1]:80")!)
    exchange.submit()
    exchange.connect()
    let v6 = AnnounceReply(
      interval: .seconds(60), peers: [Endpoint("[2001:db8::2]:9")!], seeds: 0, leechers: 0)
    exchange.receive(.announce(transaction: exchange.lastTransaction, v6))
    #expect(exchange.outcomes == [.completeAnnounce(.init(1), v6)])
  }

  /// A tracker that loses, delays, repeats and damages datagrams: every request ends exactly once.
  @Test(arguments: 0..<20) func drawnExchangesEnd(seed: Int) {
    var exchange = Exchange()
    exchange.random = SeededRandom(seed: UInt64(seed))
    var world = SeededRandom(seed: UInt64(1000 + seed))
    var seen = 0
    var pending: [(time: Double, datagram: [UInt8])] = []
    var time = 0.0
    for id in 0..<100 {
      exchange.submit(
        Bool.random(using: &world) ? .announce(sampleRequest, urlData: []) : .scrape([infoHash("a")]),
        as: UInt64(id), retransmissions: .random(in: 0...3, using: &world))
    }
    while time < 3000, !exchange.machine.isIdle {
      while seen < exchange.sent.count {
        let request = exchange.sent[seen]
        seen += 1
        if Double.random(in: 0..<1, using: &world) < 0.4 { continue }
        let answer: UDPTrackerReply =
          switch request {
          case .connect(let transaction): .connect(transaction: transaction, connection: world.next())
          case .announce(_, let transaction, _, _, _):
            Bool.random(using: &world)
              ? .announce(transaction: transaction, reply) : .error(transaction: transaction, message: "no")
          case .scrape(_, let transaction, _):
            .scrape(transaction: transaction, [ScrapeEntry(seeds: 1, downloaded: 1, leechers: 1)])
          }
        var datagram = answer.encoded(isV4: true)
        if Int.random(in: 0..<10, using: &world) == 0 {
          datagram[Int.random(in: 0..<datagram.count, using: &world)] ^= 0xff
        }
        for _ in 0..<Int.random(in: 1...2, using: &world) {
          pending.append((time + Double.random(in: 0..<40, using: &world), datagram))
        }
      }
      time += 1
      exchange.advance(to: time)
      let due = pending.filter { $0.time <= time }
      pending.removeAll { $0.time <= time }
      for (_, datagram) in due { exchange.receive(datagram) }
    }
    #expect(exchange.machine.isIdle)
    let ids = exchange.outcomes.map { outcome -> UInt64 in
      switch outcome {
      case .completeAnnounce(let id, _), .completeScrape(let id, _), .fail(let id, _): id.rawValue
      case .send: .max
      }
    }
    #expect(ids.sorted() == Array(0..<100))
  }
}
