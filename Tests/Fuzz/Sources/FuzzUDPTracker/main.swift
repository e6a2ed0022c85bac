import FuzzDriver
import Glibc
import TorrentModel
import TrackerProtocol

/// Datagrams of UDP trackers and peers, and the machine that lives on them.
func fuzzOne(_ bytes: [UInt8]) {
  fuzzRequest(bytes)
  for isV4 in [true, false] { fuzzReply(bytes, isV4: isV4) }
  fuzzMachine(bytes)
}

private func fuzzRequest(_ bytes: [UInt8]) {
  guard let request = UDPTrackerRequest(bytes.span) else { return }
  if case .announce(_, _, _, _, let data) = request, data.count > UDPTrackerRequest.urlDataLimit { return }
  guard let again = UDPTrackerRequest(request.encoded().span) else { preconditionFailure("not taken again") }
  if case .announce(_, _, let announce, _, _) = request, announce.event == .paused { return }
  precondition(again == request, "a request changed on the way")
}

private func fuzzReply(_ bytes: [UInt8], isV4: Bool) {
  do throws(TrackerError) {
    let reply = try UDPTrackerReply.decode(bytes.span, isV4: isV4)
    let again = try UDPTrackerReply.decode(reply.encoded(isV4: isV4).span, isV4: isV4)
    precondition(again.transaction == reply.transaction)
    if case .announce(_, let first) = reply, case .announce(_, let second) = again {
      // An IPv4 address may come mapped into IPv6, and then does not go back the same way.
      let sent = first.peers.filter { $0.address.isV4 == isV4 }.prefix(UDPTrackerReply.peerLimit(isV4: isV4))
      precondition(second.peers.elementsEqual(sent))
    }
  } catch {
    precondition(!error.description.isEmpty)
  }
}

/// The input is a script: requests, cancellations, time, and datagrams that may carry a number the machine waits for.
private func fuzzMachine(_ script: [UInt8]) {
  var machine = UDPTrackerMachine(tracker: Endpoint(address: IPAddress(192, 0, 2, 1), port: 80))
  var random = SeededRandom(seed: 1)
  var now = Moment.zero
  var open: Set<UInt64> = []
  var lastID: UInt64 = 0
  var transactions: [[UInt8]] = []
  let announce = AnnounceRequest(infoHash: InfoHash(Bytes20()), peerID: PeerID(Bytes20()), port: 1, left: 0)

  func take(_ actions: [UDPTrackerMachine.Action]) {
    for action in actions {
      switch action {
      case .send(let datagram): transactions.append(Array(datagram[12..<16]))
      case .completeAnnounce(let id, _), .completeScrape(let id, _), .fail(let id, _):
        precondition(open.remove(id.rawValue) != nil, "a request ended twice, or after it was cancelled")
      }
    }
  }

  var rest = script[...]
  while let operation = rest.popFirst() {
    var actions: [UDPTrackerMachine.Action] = []
    let argument = rest.popFirst() ?? 0
    switch operation & 3 {
    case 0:
      lastID += 1
      open.insert(lastID)
      machine.submit(
        argument & 1 == 0 ? .announce(announce, urlData: []) : .scrape([InfoHash(Bytes20())]),
        as: .init(lastID),
        retransmissions: Int(argument >> 4), now: now, random: &random, into: &actions)
    case 1:
      now = now + .seconds(Int(argument))
      machine.timerFired(now: now, random: &random, into: &actions)
    case 2:
      open.remove(UInt64(argument))
      machine.cancel(.init(UInt64(argument)), now: now, random: &random, into: &actions)
    default:
      var datagram = Array(rest.prefix(Int(argument & 63)))
      rest = rest.dropFirst(datagram.count)
      if !transactions.isEmpty, datagram.count >= 8 {
        datagram.replaceSubrange(4..<8, with: transactions[Int(argument >> 6) % transactions.count])
      }
      machine.datagramArrived(datagram.span, from: machine.tracker, now: now, random: &random, into: &actions)
    }
    take(actions)
    precondition(machine.isIdle == open.isEmpty)
    precondition(machine.isIdle == (machine.nextDeadline == nil))
  }
  // Left alone, everything ends.
  while let deadline = machine.nextDeadline {
    var actions: [UDPTrackerMachine.Action] = []
    now = max(now, deadline)
    machine.timerFired(now: now, random: &random, into: &actions)
    take(actions)
  }
  precondition(open.isEmpty)
}

exit(fuzz(fuzzOne))
