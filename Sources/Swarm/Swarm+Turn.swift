import TorrentModel

// The end of a turn, and what time brings.
extension Swarm {
  /// The end of a turn of the loop: requests and uploads are pumped here, once per peer that something happened to.
  public func turnEnded(now: Moment) {
    if areSuppliersStale { countSuppliers() }
    feedHungry(now: now)
    // Peers may be touched while this runs; they are appended and come up in the same loop.
    var next = 0
    while next < touched.count {
      let key = touched[next]
      next += 1
      guard key.offset < peers.count else { continue }
      peers[key.offset].flags.remove(.touched)
      guard peers[key.offset].phase == .connected else { continue }
      pump(key, now: now)
      if peers[key.offset].uploads.hasWaiting { queueForUpload(key) }
    }
    touched.removeAll(keepingCapacity: true)
    if areSlotsStale { fillSlots(now: now) }
    pumpUploads(now: now)
    if isConnectDue || timers.connect <= now { makeConnections(now: now) }
    setTimers(now: now)
  }

  /// Does what is due. ``turnEnded(now:)`` has to follow.
  public func tick(now: Moment) {
    if timers.heartbeat <= now {
      timers.heartbeat = .distantFuture
      beat(now: now)
    }
    if timers.sweep <= now {
      timers.sweep = .distantFuture
      sweep(now: now)
    }
  }

  /// Once a second while something moves.
  private func beat(now: Moment) {
    adaptPipelines(now: now)
    askAgainForStalled(now: now)
    updateSlots(now: now)
    sweep(now: now)
  }

  /// Keep-alives, and peers that are of no use any more.
  private func sweep(now: Moment) {
    for i in peers.indices where peers[i].phase == .connected {
      let key = PeerKey(i)
      if now - peers[i].receivedAt >= configuration.inactivityTimeout {
        disconnect(key, .inactive, now: now)
        continue
      }
      if now - peers[i].sentAt >= configuration.keepAliveInterval {
        send(.sendKeepAlive(key), to: key, now: now)
      }
      let isUseless = !peers[i].has(.interesting) && !peers[i].has(.interested)
      if isUseless {
        if peers[i].uselessSince == nil { peers[i].uselessSince = now }
      } else {
        peers[i].uselessSince = nil
      }
      peers[i].requests.expire(before: now - configuration.maximumRequestTimeout * 2)
      if let since = peers[i].snubbedSince, now - since > configuration.maximumRequestTimeout * 4,
        isCrowded, !peers[i].has(.interested)
      {
        disconnect(key, .unresponsive, now: now)
      }
    }
  }

  /// Sets the clock for what is to come.
  private func setTimers(now: Moment) {
    guard connectedCount > 0 else {
      timers.heartbeat = .distantFuture
      timers.sweep = .distantFuture
      return
    }
    if isBusy {
      timers.sweep = .distantFuture
      if timers.heartbeat == .distantFuture { timers.heartbeat = now + SwarmTimers.heartbeatInterval }
    } else {
      timers.heartbeat = .distantFuture
      if timers.sweep == .distantFuture { timers.sweep = nextSweep(now: now) }
    }
  }

  /// Whether anybody wants anything.
  private var isBusy: Bool { wantingCount > 0 }

  /// Keep-alives and silence are judged when the first of them can be due. Peers that did something meanwhile are
  /// found to be fine then.
  private func nextSweep(now: Moment) -> Moment {
    var moment = Moment.distantFuture
    for peer in peers where peer.phase == .connected {
      moment = min(moment, peer.sentAt + configuration.keepAliveInterval)
      moment = min(moment, peer.receivedAt + configuration.inactivityTimeout)
    }
    return max(moment, now + SwarmTimers.heartbeatInterval)
  }
}
