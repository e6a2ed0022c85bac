import TorrentModel

/// What a query gets: replies and errors, within a length. Parts are planned first, then written in canonical order.
extension DHTNode {
  /// The parts of a reply beside its header.
  private struct Parts {
    var token: UInt64?
    var nodes = ClosestNodes()
    var nodes6 = ClosestNodes()
    var nodeCount = 0
    var nodeCount6 = 0
    /// Where the torrent is, and how many of its peers go in.
    var torrent: Int?
    var valueCount = 0
    var hasFilters = false
    var item: Int?
    var hasItemValue = false
    var samples: [NodeID]?
    var sampleCount = 0
    /// Nodes were wanted, and there are none: said by an empty string, for some clients miss the key.
    var hasNoNodes = false
    var hasNoNodes6 = false
    var hasObserved = false
    var hasVersion = false
  }

  /// The answer to a query, or `nil` if not even the shortest fits.
  mutating func answer(
    _ message: KRPCMessage, _ bytes: Span<UInt8>, _ sender: Endpoint, _ plan: inout AnswerPlan, _ now: Moment,
    _ random: inout some RandomNumberGenerator
  ) -> [UInt8]? {
    if let complaint = message.complaint { return error(complaint, message, bytes, &plan) }
    if message.method == .announcePeer || message.method == .put {
      do throws(KRPCComplaint) {
        try store(message, bytes, sender, now)
      } catch {
        return self.error(error, message, bytes, &plan)
      }
    }
    guard let parts = parts(message, sender, &plan, now, &random) else { return nil }
    return written(parts, message, bytes, sender, plan.length, now, &random)
  }

  private func error(
    _ complaint: KRPCComplaint, _ message: KRPCMessage, _ bytes: Span<UInt8>, _ plan: inout AnswerPlan
  ) -> [UInt8]? {
    plan.isError = true
    var writer = KRPCWriter(reserving: 96)
    writer.literal("d1:el")
    writer.integer(Int64(complaint.code))
    writer.string(complaint.text.utf8.span)
    writer.literal("e1:t")
    writer.string(bytes.extracting(message.transaction.range))
    writer.version(plan.isFrugal ? nil : configuration.version)
    writer.literal("1:y1:ee")
    return writer.bytes
  }

  /// Decides what goes in, the most important first.
  private mutating func parts(
    _ message: KRPCMessage, _ sender: Endpoint, _ plan: inout AnswerPlan, _ now: Moment,
    _ random: inout some RandomNumberGenerator
  ) -> Parts? {
    let transaction = message.transaction.count
    var parts = Parts()
    // d1:rd2:id20:…e1:t2:…1:y1:re
    guard plan.take(43 + transaction + (transaction < 10 ? 2 : 3)) else { return nil }
    let observedLength = sender.address.isV4 ? 12 : 25
    if !plan.isFrugal {
      parts.hasObserved = plan.takeSpare(observedLength)
      parts.hasVersion = configuration.version != nil && plan.takeSpare(9)
    }
    if let target = message.target, message.method != .announcePeer, message.method != .put {
      planContent(message, target, sender, &parts, &plan, now, &random)
      planNodes(message, target, sender, &parts, &plan, now)
      if message.method == .getPeers { planValues(message, sender, &parts, &plan) }
    }
    if plan.isFrugal { parts.hasObserved = plan.takeSpare(observedLength) }
    return parts
  }

  private mutating func planContent(
    _ message: KRPCMessage, _ target: NodeID, _ sender: Endpoint, _ parts: inout Parts,
    _ plan: inout AnswerPlan, _ now: Moment, _ random: inout some RandomNumberGenerator
  ) {
    switch message.method {
    case .getPeers:
      parts.torrent = peers.place(of: target)
      // No token where an announce would find no room, so that it goes to our neighbours (BEP 33).
      if peers.accepts(target, at: parts.torrent, from: sender.address), plan.take(17) {
        parts.token = mint.token(for: sender.address, target)
      }
      if message.wantsScrape, parts.torrent != nil { parts.hasFilters = plan.take(532) }
    case .get:
      if plan.take(17) { parts.token = mint.token(for: sender.address, target) }
      guard let place = items.place(of: target) else { return }
      if let mutable = items[place].mutable {
        guard plan.take(7 + String(mutable.sequence).utf8.count) else { return }
        parts.item = place
        if message.sequence.map({ mutable.sequence > $0 }) ?? true {
          parts.hasItemValue = plan.take(113 + items[place].value.count)
        }
      } else if message.sequence == nil, plan.take(3 + items[place].value.count) {
        parts.item = place
        parts.hasItemValue = true
      }
    case .sampleInfoHashes:
      let samples = peers.infoHashSample(now: now, random: &random)
      guard plan.take(60) else { return }
      parts.sampleCount = plan.takeParts(samples.count, of: 20, header: 4)
      parts.samples = samples
    default: break
    }
  }

  private func planNodes(
    _ message: KRPCMessage, _ target: NodeID, _ sender: Endpoint, _ parts: inout Parts,
    _ plan: inout AnswerPlan, _ now: Moment
  ) {
    let want = message.want ?? (sender.address.isV4 ? .n4 : .n6)
    // Of what little a stranger gets, peers have half.
    let share = plan.isFrugal && parts.torrent != nil ? plan.room / 2 : nil
    // The sender's own family comes first, for of little there may be enough for one.
    if sender.address.isV4 {
      if want.contains(.n4) { planNodesV4(target, share, &parts, &plan, now) }
      if want.contains(.n6) { planNodesV6(target, share, &parts, &plan, now) }
    } else {
      if want.contains(.n6) { planNodesV6(target, share, &parts, &plan, now) }
      if want.contains(.n4) { planNodesV4(target, share, &parts, &plan, now) }
    }
  }

  private func planNodesV4(
    _ target: NodeID, _ share: Int?, _ parts: inout Parts, _ plan: inout AnswerPlan, _ now: Moment
  ) {
    guard let closest = families[0]?.table.closest(to: target, goodOnly: true, now: now) else { return }
    parts.nodes = closest
    parts.hasNoNodes = closest.count == 0 && plan.takeSpare(9)
    parts.nodeCount = plan.takeParts(
      closest.count, of: CompactNode.lengthV4, header: closest.count < 4 ? 10 : 11, share: share)
  }

  private func planNodesV6(
    _ target: NodeID, _ share: Int?, _ parts: inout Parts, _ plan: inout AnswerPlan, _ now: Moment
  ) {
    guard let closest = families[1]?.table.closest(to: target, goodOnly: true, now: now) else { return }
    parts.nodes6 = closest
    parts.hasNoNodes6 = closest.count == 0 && plan.takeSpare(10)
    parts.nodeCount6 = plan.takeParts(
      closest.count, of: CompactNode.lengthV6, header: closest.count < 3 ? 11 : 12, share: share)
  }

  private func planValues(
    _ message: KRPCMessage, _ sender: Endpoint, _ parts: inout Parts, _ plan: inout AnswerPlan
  ) {
    guard let torrent = parts.torrent else { return }
    let isV4 = sender.address.isV4
    let count = peers.peerCount(at: torrent, isV4: isV4)
    let wanted = min(count, configuration.maximumValues)
    parts.valueCount = plan.takeParts(wanted, of: isV4 ? 8 : 21, header: 10)
  }

  private mutating func written(
    _ parts: Parts, _ message: KRPCMessage, _ bytes: Span<UInt8>, _ sender: Endpoint, _ length: Int,
    _ now: Moment, _ random: inout some RandomNumberGenerator
  ) -> [UInt8] {
    var writer = KRPCWriter(reserving: length)
    writer.literal("d")
    if parts.hasObserved {
      writer.literal(sender.address.isV4 ? "2:ip6:" : "2:ip18:")
      sender.appendCompact(to: &writer.bytes)
    }
    writer.literal("1:rd")
    if parts.hasFilters, let torrent = parts.torrent {
      let filters = peers.filters(at: torrent)
      writer.literal("4:BFpe256:")
      filters.peers.append(to: &writer.bytes)
      writer.literal("4:BFsd256:")
      filters.seeds.append(to: &writer.bytes)
    }
    writer.literal("2:id")
    writer.point(families[DHTFamily(sender.address).rawValue]?.id ?? .zero)
    if parts.samples != nil {
      writer.literal("8:interval")
      writer.integer(Int64(peers.secondsToNextSample(now: now)))
    }
    if parts.hasItemValue, let place = parts.item, let mutable = items[place].mutable {
      writer.literal("1:k")
      writer.string(mutable.publicKey.span)
    }
    writeNodes(parts, &writer)
    if let samples = parts.samples {
      writer.literal("3:num")
      writer.integer(Int64(peers.torrentCount))
      writer.literal("7:samples")
      writer.stringHeader(20 * parts.sampleCount)
      for sample in samples.prefix(parts.sampleCount) { sample.append(to: &writer.bytes) }
    }
    if let place = parts.item, let mutable = items[place].mutable {
      writer.literal("3:seq")
      writer.integer(mutable.sequence)
      if parts.hasItemValue {
        writer.literal("3:sig")
        writer.string(mutable.signature.span)
      }
    }
    if let token = parts.token {
      writer.literal("5:token8:")
      for shift in stride(from: UInt64(56), through: 0, by: -8) {
        writer.bytes.append(UInt8(truncatingIfNeeded: token >> shift))
      }
    }
    if parts.hasItemValue, let place = parts.item {
      writer.literal("1:v")
      writer.append(items[place].value.span)
    }
    if parts.valueCount > 0, let torrent = parts.torrent {
      writer.literal("6:valuesl")
      let isV4 = sender.address.isV4
      peers.forEachPeer(
        at: torrent, isV4: isV4, limit: parts.valueCount, noSeeds: message.wantsNoSeeds, random: &random
      ) { peer in
        writer.literal(isV4 ? "6:" : "18:")
        peer.appendCompact(to: &writer.bytes)
      }
      writer.literal("e")
    }
    writer.literal("e1:t")
    writer.string(bytes.extracting(message.transaction.range))
    if parts.hasVersion { writer.version(configuration.version) }
    writer.literal("1:y1:re")
    return writer.bytes
  }

  private func writeNodes(_ parts: Parts, _ writer: inout KRPCWriter) {
    if parts.hasNoNodes { writer.literal("5:nodes0:") }
    if parts.nodeCount > 0, let slots = families[0]?.table.slots {
      writer.literal("5:nodes")
      writer.stringHeader(parts.nodeCount * CompactNode.lengthV4)
      for index in 0..<parts.nodeCount {
        let node = slots[parts.nodes[index]]
        CompactNode.append(node.id, node.endpoint, to: &writer.bytes)
      }
    }
    if parts.hasNoNodes6 { writer.literal("6:nodes60:") }
    if parts.nodeCount6 > 0, let slots = families[1]?.table.slots {
      writer.literal("6:nodes6")
      writer.stringHeader(parts.nodeCount6 * CompactNode.lengthV6)
      for index in 0..<parts.nodeCount6 {
        let node = slots[parts.nodes6[index]]
        CompactNode.append(node.id, node.endpoint, to: &writer.bytes)
      }
    }
  }

  /// Does what an announce or a put asks for. The token was checked when the sender's proof was.
  private mutating func store(
    _ message: KRPCMessage, _ bytes: Span<UInt8>, _ sender: Endpoint, _ now: Moment
  ) throws(KRPCComplaint) {
    let family = DHTFamily(sender.address).rawValue
    guard let ownID = families[family]?.id, let target = storageTarget(message, bytes) else {
      throw .malformed
    }
    guard let token = message.token,
      mint.accepts(bytes.extracting(token.range), from: sender.address, target)
    else {
      statistics.badTokens += 1
      throw .badToken
    }
    if message.method == .announcePeer {
      let port = message.usesImpliedPort ? Int64(sender.port) : message.port ?? 0
      guard let port = UInt16(exactly: port), port != 0 else { throw .badPort }
      let bits = BloomFilter.Bits(hash: configuration.sha1(sender.address.compactBytes.span))
      guard
        peers.announce(
          target, Endpoint(address: sender.address, port: port), isSeed: message.isSeed, bits: bits,
          ownID: ownID, now: now)
      else { throw .storeFull }
      statistics.announcesStored += 1
      return
    }
    guard let value = message.value else { throw .badValue }
    var item = DHTItem(value: KRPCMessage.copy(value, of: bytes))
    if let key = message.publicKey, let signature = message.signature, let sequence = message.sequence {
      let mutable = DHTItem.Mutable(
        publicKey: KRPCMessage.copy(key, of: bytes),
        salt: message.salt.map { KRPCMessage.copy($0, of: bytes) } ?? [], sequence: sequence,
        signature: KRPCMessage.copy(signature, of: bytes))
      let signed = DHTItem.signedBytes(value: item.value.span, salt: mutable.salt.span, sequence: sequence)
      guard configuration.verifySignature(mutable.signature.span, signed.span, mutable.publicKey.span) else {
        throw .badSignature
      }
      item.mutable = mutable
    }
    try items.put(item, at: target, expecting: message.expectedSequence, ownID: ownID, now: now)
    statistics.itemsStored += 1
  }
}
