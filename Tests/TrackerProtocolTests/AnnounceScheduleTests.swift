import Testing
import TorrentModel
import TrackerProtocol

@Suite struct AnnounceScheduleTests {
  @Test func oneTrackerHearsOfTheWholeLifeOfATorrent() {
    var play = Play("a")
    #expect(play.schedule.nextDeadline == nil)
    play.need(false)
    play.start()
    #expect(play.drain() == ["0 a started"])
    #expect(play.schedule.trackers[0].activity == .working)
    #expect(play.schedule.trackers[0].nextAnnounce == play.now + .seconds(1800))
    play.advance(3700)
    #expect(play.drain() == ["1800 a periodic", "3600 a periodic"])
    play.complete()
    #expect(play.drain() == ["3700 a completed"])
    play.advance(1800)
    #expect(play.drain() == ["5500 a periodic"])
    play.stop()
    #expect(play.drain() == ["5500 a stopped", "5500 stopped"])
    #expect(play.schedule.nextDeadline == nil)
    play.advance(10_000)
    #expect(play.drain() == [])
    play.start()
    #expect(play.drain() == ["15500 a started"])
  }

  @Test func ordersSayWhatToAnnounce() {
    var play = Play("a")
    play.answers["a"] = .reply(AnnounceReply(interval: .seconds(60), trackerID: [1, 2]))
    play.start()
    play.need(false)
    play.advance(60)
    play.answers["a"] = Play.reply(every: 60)
    play.schedule.isPartialSeed = true
    play.advance(60)
    play.stop()
    let orders = play.orders
    #expect(orders.map(\.event) == [.started, .periodic, .paused, .stopped])
    #expect(orders.map(\.numberWanted) == [200, 50, 50, 0])
    #expect(orders.map(\.trackerID) == [nil, [1, 2], [1, 2], [1, 2]])
    #expect(Set(orders.map(\.key)) == [play.schedule.key])
    #expect(orders.map(\.retransmissions) == [2, 2, 2, 0])
    #expect(Set(orders.map(\.number)).count == 4)
  }

  // The three examples of BEP 12.

  @Test func backupsAreTriedInOrderAndTheFirstOneFirstAgain() {
    var play = Play("a b c")
    play.need(false)
    play.answers["a"] = .error(.timedOut)
    play.answers["b"] = .error(.timedOut)
    play.start()
    #expect(
      play.drain() == [
        "0 a started", "0 a failed: the tracker does not answer", "0 b started",
        "0 b failed: the tracker does not answer", "0 c started",
      ])
    play.answers["a"] = Play.reply()
    play.advance(1800)
    #expect(play.drain() == ["1800 a started"])
    // Both saw a start, so both are told of the end.
    play.stop()
    #expect(play.drain() == ["1800 a stopped", "1800 c stopped", "1800 stopped"])
  }

  @Test func theOneThatAnswersMovesToTheFrontOfItsTier() {
    for seed in 0..<10 {
      var play = Play("abc", seed: UInt64(seed))
      play.need(false)
      for name in ["a", "b", "c"] { play.answers[name] = .error(.timedOut) }
      let order: [String] = {
        var probe = play
        probe.start()
        return probe.orders.map { probe.name($0.tracker) }
      }()
      #expect(order.sorted() == ["a", "b", "c"])
      // The second can be reached: "from then on, this will be the order: 2, 1, 3".
      play.answers[order[1]] = Play.reply()
      play.start()
      play.orders = []
      for name in order { play.answers[name] = .error(.timedOut) }
      play.answers[order[2]] = Play.reply()
      play.advance(1800)
      #expect(play.orders.map { play.name($0.tracker) } == [order[1], order[0], order[2]])
      // Then only the third: "3, 2, 1".
      play.orders = []
      for name in order { play.answers[name] = .error(.timedOut) }
      play.advance(1800)
      #expect(play.orders.prefix(3).map { play.name($0.tracker) } == [order[2], order[1], order[0]])
    }
  }

  @Test func bothOfTheFirstTierAreTriedBeforeTheSecond() {
    var orders: Set<String> = []
    for seed in 0..<20 {
      var play = Play("ab c", seed: UInt64(seed))
      for name in ["a", "b"] { play.answers[name] = .error(.timedOut) }
      play.start()
      orders.insert(play.orders.map { play.name($0.tracker) }.joined())
    }
    #expect(orders == ["abc", "bac"])
  }

  @Test func everyTierHasAWorkingTrackerIfWanted() {
    var configuration = AnnounceSchedule.Configuration()
    configuration.announceToAllTiers = true
    var play = Play("a b c", configuration: configuration)
    play.need(false)
    play.answers["b"] = .error(.timedOut)
    play.answers["c"] = Play.reply(every: 900)
    play.start()
    #expect(
      play.drain() == [
        "0 a started", "0 b started", "0 c started", "0 b failed: the tracker does not answer",
      ])
    play.answers["b"] = Play.reply()
    play.advance(15)
    #expect(play.drain().map { $0.drop { $0 != " " } } == [" b started"])
    play.advance(890)
    #expect(play.drain() == ["900 c periodic"])
    play.complete()
    play.stop()
    #expect(
      play.drain() == [
        "905 a completed", "905 b completed", "905 c completed", "905 a stopped", "905 b stopped",
        "905 c stopped",
        "905 stopped",
      ])
  }

  @Test func intervalsAreHonouredWithinReason() {
    for (interval, least, expected) in [
      (1800, nil, 1800), (1, nil, 5), (3, 4, 5), (7, nil, 7), (30, 45, 45), (10_000_000, nil, 86400),
      (60, 10_000_000, 86400),
    ] as [(Int, Int?, Int)] {
      var play = Play("a")
      play.need(false)
      play.answers["a"] = Play.reply(every: interval, least: least)
      play.start()
      #expect(
        play.schedule.nextDeadline == play.now + .seconds(expected),
        "\(interval) \(String(describing: least))")
    }
    var play = Play("a")
    play.need(false)
    play.answers["a"] = .reply(AnnounceReply())
    play.start()
    #expect(play.schedule.nextDeadline == play.now + .seconds(1800))
  }

  @Test func moreEarlyAnnouncesAreFurtherApart() {
    var play = Play("a")
    play.start()
    play.advance(1000)
    #expect(
      play.drain() == ["0 a started", "60 a periodic", "180 a periodic", "420 a periodic", "900 a periodic"])
    play.need(false)
    play.advance(5000)
    #expect(play.drain() == ["2700 a periodic", "4500 a periodic"])
    play.need(true)
    #expect(play.drain() == ["6000 a periodic"])
    play.need(true)
    play.need(false)
    play.need(true)
    #expect(play.drain() == [])
  }

  @Test func earlyAnnouncesRespectTheLeastInterval() {
    var play = Play("a")
    play.answers["a"] = Play.reply(every: 1800, least: 600)
    play.start()
    play.advance(1250)
    #expect(play.drain() == ["0 a started", "600 a periodic", "1200 a periodic"])
    play.answers["a"] = Play.reply(every: 20)
    play.advance(600)
    play.drain()
    play.advance(45)
    #expect(play.log.count == 2, "an early announce is never later than the regular one: \(play.log)")
  }

  @Test func failuresBackOffWithJitter() {
    var play = Play("a")
    play.answers["a"] = .error(.timedOut)
    play.start()
    var times: [Double] = []
    for _ in 0..<12 {
      let deadline = play.schedule.nextDeadline!
      times.append((deadline - play.now).seconds)
      #expect(play.status("a")?.nextAnnounce == deadline)
      play.advance(times.last!)
    }
    for (index, time) in times.enumerated() {
      let middle = min(10 * Double(1 << index), 1800)
      #expect(time >= middle * 0.75 && time <= middle * 1.25, "\(index): \(time)")
    }
    #expect(Set(times.suffix(4)).count == 4)
    #expect(play.schedule.isFailingEverywhere && play.status("a")?.failures == 13)
    play.answers["a"] = Play.reply()
    play.advance(3000)
    #expect(
      !play.schedule.isFailingEverywhere && play.status("a")?.failures == 0
        && play.status("a")?.failure == nil)
  }

  @Test func retryAdviceIsFollowed() {
    var play = Play("a")
    play.answers["a"] = .error(.failure(reason: "full", retry: .after(.minutes(5))))
    play.start()
    #expect(play.schedule.nextDeadline == play.now + .minutes(5))
    play.answers["a"] = .error(.failure(reason: "gone", retry: .never))
    play.advance(300)
    #expect(play.schedule.nextDeadline == nil)
    #expect(play.status("a")?.activity == .refused && play.status("a")?.failure == "gone")
    play.announceNow()
    play.need(false)
    play.advance(100_000)
    #expect(
      play.drain() == ["0 a started", "0 a failed: full", "300 a started", "300 a failed: gone"])
    // It did not see a start, and is asked again when the torrent starts again.
    play.stop()
    play.start()
    #expect(play.drain().last == "100300 a failed: gone")
    #expect(play.orders.count == 3)
  }

  @Test func aRefusalMovesOnToTheNext() {
    var play = Play("a b")
    play.need(false)
    play.answers["a"] = .error(.failure(reason: "gone", retry: .never))
    play.start()
    play.advance(1800)
    #expect(play.drain() == ["0 a started", "0 a failed: gone", "0 b started", "1800 b periodic"])
    #expect(!play.schedule.isFailingEverywhere)
  }

  @Test func completionDuringAnAnnounceIsToldAfterIt() {
    var play = Play("a")
    play.need(false)
    play.answers["a"] = .silence
    play.start()
    play.complete()
    #expect(play.drain() == ["0 a started"])
    play.answers["a"] = Play.reply()
    play.settle()
    #expect(play.drain() == ["0 a completed"])
    play.advance(1800)
    #expect(play.drain() == ["1800 a periodic"])
  }

  @Test func completionIsToldLaterWhenItCouldNotBe() {
    var play = Play("a")
    play.need(false)
    play.start()
    play.answers["a"] = .error(.timedOut)
    play.complete()
    play.answers["a"] = Play.reply()
    play.advance(15)
    #expect(
      play.drain().map { $0.drop { $0 != " " } } == [
        " a started", " a completed", " a failed: the tracker does not answer", " a completed",
      ])
    play.advance(1800)
    #expect(play.orders.last?.event == .periodic)
  }

  @Test func aTrackerThatNeverSawTheStartIsNotToldOfCompletion() {
    var play = Play("a")
    play.answers["a"] = .error(.timedOut)
    play.start()
    play.complete()
    play.answers["a"] = Play.reply()
    play.need(false)
    play.advance(20)
    #expect(play.orders.map(\.event) == [.started, .started])
    play.advance(1800)
    #expect(play.orders.last?.event == .periodic)
  }

  @Test func stoppingDuringAnAnnounceCancelsIt() {
    var play = Play("a")
    play.answers["a"] = .silence
    play.start()
    let first = play.open[0]
    play.stop()
    // It may have come through.
    #expect(play.drain() == ["0 a started", "0 a cancelled", "0 a stopped"])
    play.answer(first, Play.reply())
    #expect(play.drain() == [])
    play.answer(play.orders.last!, .error(.timedOut))
    #expect(play.drain() == ["0 a failed: the tracker does not answer", "0 stopped"])
  }

  @Test func stoppingWhereNobodyKnowsUsIsDoneAtOnce() {
    var play = Play("a b")
    play.answers["a"] = .error(.timedOut)
    play.answers["b"] = .error(.timedOut)
    play.start()
    play.drain()
    play.stop()
    #expect(play.drain() == ["0 stopped"])
    play.stop()
    #expect(play.drain() == ["0 stopped"])
    var none = Play("")
    none.start()
    none.complete()
    #expect(none.schedule.nextDeadline == nil && !none.schedule.isFailingEverywhere)
    none.stop()
    #expect(none.drain() == ["0 stopped"])
  }

  @Test func startingAgainOvertakesTheStop() {
    var play = Play("a")
    play.start()
    play.answers["a"] = .silence
    play.stop()
    play.drain()
    play.start()
    #expect(play.drain() == ["0 a cancelled", "0 a started"])
    play.answers["a"] = Play.reply()
    play.settle()
    #expect(play.schedule.trackers[0].activity == .working)
  }

  @Test func trackersCanBeAdded() {
    var play = Play("a c")
    play.need(false)
    play.answers["a"] = .error(.timedOut)
    play.answers["c"] = .error(.timedOut)
    play.start()
    play.drain()
    play.add("x", tier: 0)
    #expect(play.drain() == ["0 x started"])
    play.add("x", tier: 0)
    play.add("a", tier: 9)
    play.add("y", tier: 1)
    #expect(play.drain() == [] && play.schedule.trackers.count == 4)
    play.answers["x"] = .error(.timedOut)
    play.advance(1800)
    #expect(play.orders.suffix(4).map { play.name($0.tracker) } == ["x", "a", "c", "y"])

    var empty = Play("")
    empty.start()
    empty.add("z", tier: 0)
    #expect(empty.drain() == ["0 z started"])

    var configuration = AnnounceSchedule.Configuration()
    configuration.announceToAllTiers = true
    var all = Play("a b", configuration: configuration)
    all.start()
    all.add("z", tier: 1)
    all.add("w", tier: 2)
    #expect(all.orders.map { all.name($0.tracker) } == ["a", "b", "w"])
  }

  @Test func doubleAndExcessTrackersAreLeftOut() {
    let play = Play("ab b a")
    #expect(play.schedule.trackers.map(\.url.hostText) == ["a", "b"])
    var random = SeededRandom(seed: 1)
    let many = (0..<1000).map { Play.url("h\($0)") }
    let schedule = AnnounceSchedule(tiers: [many], random: &random)
    #expect(schedule.trackers.count == AnnounceSchedule.trackerLimit)
  }

  @Test func theUserCanAnnounceNow() {
    var play = Play("a")
    play.need(false)
    play.answers["a"] = Play.reply(every: 1800, least: 1800)
    play.start()
    play.advance(10)
    play.announceNow()
    #expect(play.drain() == ["0 a started", "10 a periodic"])
  }

  @Test func statusFollowsTheReplies() {
    var play = Play("a")
    play.need(false)
    play.answers["a"] = .reply(
      AnnounceReply(
        interval: .seconds(60), peers: [Endpoint("1.2.3.4:5")!], seeds: 3, leechers: 4, downloaded: 5,
        warning: "beware"))
    play.start()
    #expect(play.drain() == ["0 a started", "0 a warns: beware"])
    var status = play.schedule.trackers[0]
    #expect(status.seeds == 3 && status.leechers == 4 && status.downloaded == 5 && status.peerCount == 1)
    #expect(
      status.warning == "beware" && status.lastReply == play.now && status.activity.description == "working")
    play.schedule.scrapeSucceeded(tracker: 0, ScrapeEntry(seeds: 9))
    play.schedule.scrapeSucceeded(tracker: 7, ScrapeEntry(seeds: 1))
    status = play.schedule.trackers[0]
    #expect(status.seeds == 9 && status.leechers == 4)
    play.answers["a"] = .silence
    play.advance(60)
    #expect(play.schedule.trackers[0].activity == .announcing(.periodic))
    #expect(play.schedule.trackers[0].nextAnnounce == nil && play.schedule.nextDeadline == nil)
  }

  /// Trackers that answer, fail, refuse or dawdle at random; a user who starts, stops and completes at random:
  /// the rules hold after each step.
  @Test(arguments: 0..<30) func drawnLivesKeepTheRules(seed: Int) {
    var world = SeededRandom(seed: UInt64(500 + seed))
    var configuration = AnnounceSchedule.Configuration()
    configuration.announceToAllTiers = .random(using: &world)
    let names = ["a", "b", "c", "d", "e"]
    var play = Play("ab c de", seed: UInt64(seed), configuration: configuration)
    var isRunning = false
    var lastReply: [String: Moment] = [:]
    var known: Set<String> = []
    var checked = 0
    for _ in 0..<400 {
      for name in names {
        play.answers[name] =
          switch Int.random(in: 0..<8, using: &world) {
          case 0, 1: .error(.timedOut)
          case 2:
            .error(.failure(reason: "later", retry: .after(.minutes(.random(in: 1...30, using: &world)))))
          case 3: .silence
          default:
            Play.reply(
              every: .random(in: 1...4000, using: &world), least: .random(in: 0...300, using: &world))
          }
      }
      switch Int.random(in: 0..<12, using: &world) {
      case 0:
        play.stop()
        isRunning = false
      case 1:
        play.start()
        isRunning = true
      case 2: play.complete()
      case 3: play.need(.random(using: &world))
      case 4:
        for order in play.open where Bool.random(using: &world) { play.answer(order, .error(.timedOut)) }
      default: play.advance(.random(in: 0...2000, using: &world))
      }
      while checked < play.orders.count {
        let order = play.orders[checked]
        checked += 1
        let name = play.name(order.tracker)
        switch order.event {
        case .started: known.insert(name)
        case .stopped: known.remove(name)
        // Nobody hears anything else before a start.
        default: #expect(known.contains(name), "\(order)")
        }
        lastReply[name] = play.now
      }
      // One announce per lane at a time.
      let limit = configuration.announceToAllTiers ? 3 : 1
      let running = play.open.filter { $0.event != .stopped }
      #expect(running.count <= (isRunning ? limit : 0))
      if isRunning, play.open.isEmpty {
        #expect(play.schedule.nextDeadline != nil)
      }
    }
    for name in names { play.answers[name] = Play.reply() }
    play.settle()
    play.stop()
    #expect(play.open.isEmpty && play.log.last?.hasSuffix("stopped") == true)
  }
}
