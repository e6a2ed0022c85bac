import TorrentModel

// What storage found, and what the user wants.
extension Swarm {
  // MARK: Verdicts

  /// The piece has the right hash and is written.
  ///
  /// - Parameter blockDigests: a digest of each block if the piece has failed before (``wantsDigests(of:)``), so that
  ///   liars are found.
  public func pieceVerified(_ piece: PieceIndex, blockDigests: [UInt64]?, now: Moment) {
    guard geometry.contains(piece) else { return }
    if let slot = picker?.slot(of: piece) {
      let soleSender = releaseSenders(slot)
      if let soleSender { trust(soleSender) }
      if !blame.isEmpty, blame.contains(piece) { resolveBlame(piece, digests: blockDigests, now: now) }
      picker?.suspects.remove(piece)
      // Somebody may be asked for a block that came from elsewhere meanwhile, if storage had the piece already.
      if picker?.open[slot].isAwaitingVerdict == false { cancelRequests(for: piece, now: now) }
      closePiece(piece, slot: slot, isHere: true)
    }
    pieceCame(piece, now: now)
    dropPickerIfIdle()
  }

  /// The piece has the wrong hash; storage has dropped its blocks.
  ///
  /// - Parameter blockDigests: a digest of each block, by the same function as for `pieceVerified`.
  public func pieceFailed(_ piece: PieceIndex, blockDigests: [UInt64]?, now: Moment) {
    guard let slot = picker?.slot(of: piece) else { return }
    corruptBytes += Int64(geometry.length(of: piece))
    var involved: [SenderTable.Sender] = []
    for block in 0..<geometry.blockCount(of: piece) {
      let sender = picker?.open.record(slot, block).sender ?? SenderTable.none
      if sender != SenderTable.none { involved.append(senders[sender]) }
    }
    let soleSender = releaseSenders(slot)
    if picker?.open[slot].isAwaitingVerdict == false { cancelRequests(for: piece, now: now) }
    if soleSender != nil, let liar = involved.first {
      convict(liar, .corruptPiece, now: now)
    } else {
      suspect(piece, involved, digests: blockDigests, now: now)
    }
    // The piece goes back among those that may be begun.
    if let slot = picker?.slot(of: piece) { closePiece(piece, slot: slot, isHere: false) }
    dropPickerIfIdle()
  }

  /// Storage holds no block of this unfinished piece any more: all of them have to come again. Nobody is to blame.
  public func pieceDropped(_ piece: PieceIndex, now: Moment) {
    guard let slot = picker?.slot(of: piece) else { return }
    _ = releaseSenders(slot)
    cancelRequests(for: piece, now: now)
    closePiece(piece, slot: slot, isHere: false)
    dropPickerIfIdle()
  }

  /// Storage did not take a block that had arrived. The piece is begun anew: what storage has of it is dropped.
  public func blockLost(_ piece: PieceIndex, block: Int, now: Moment) {
    guard picker?.slot(of: piece) != nil else { return }
    effects.append(.abandonPiece(piece))
    pieceDropped(piece, now: now)
  }

  /// Whether ``pieceVerified(_:blockDigests:now:)`` needs the digests of this piece: it has failed before.
  public func wantsDigests(of piece: PieceIndex) -> Bool { blame.contains(piece) }

  /// Lets go of the senders of a piece's blocks. Returns the slot of the sender if there was one only.
  private func releaseSenders(_ slot: Int) -> UInt32? {
    var sole = SenderTable.none
    var isMixed = false
    for block in 0..<Int(picker?.open[slot].blockCount ?? 0) {
      let sender = picker?.open.record(slot, block).sender ?? SenderTable.none
      guard sender != SenderTable.none else { continue }
      if sole == SenderTable.none { sole = sender } else if sole != sender { isMixed = true }
      senders.release(sender)
    }
    return isMixed || sole == SenderTable.none ? nil : sole
  }

  private func closePiece(_ piece: PieceIndex, slot: Int, isHere: Bool) {
    if isHere { _ = picker?.pieceCame(piece) }
    picker?.close(slot, random: &random)
  }

  /// The piece is here from now on.
  private func pieceCame(_ piece: PieceIndex, now: Moment) {
    guard pieces.insert(piece) else { return }
    let wasMissing = priorities.map { $0[piece.offset] != .skip } ?? true
    if wasMissing {
      missingCount -= 1
      _ = picker?.pieceCame(piece)
      pieceNotMissing(piece, now: now)
    }
    picker?.isRandom = pieces.count < configuration.randomFirstPieces
    for i in peers.indices where peers[i].phase == .connected && !peers[i].have[piece] {
      send(.sendHave(PeerKey(i), piece), to: PeerKey(i), now: now)
    }
    if wasMissing, missingCount == 0 { finished(now: now) }
    if pieces.isFull { effects.append(.reportComplete) }
  }

  /// Nothing is missing any more.
  private func finished(now: Moment) {
    effects.append(.reportFinished)
    areSlotsStale = true
    isConnectDue = true
    for i in peers.indices where peers[i].phase == .connected { dropIfBothComplete(PeerKey(i), now: now) }
  }

  // MARK: Blame

  /// A whole piece of this peer was good.
  private func trust(_ sender: UInt32) {
    for i in peers.indices where peers[i].sender == sender && peers[i].phase == .connected {
      peers[i].flags.remove(.onParole)
      return
    }
  }

  /// Blocks of several peers made a bad piece. Until it is known whose were bad, each of them gets whole pieces only, so
  /// that the next bad one convicts it; and the piece itself is taken from one peer.
  private func suspect(
    _ piece: PieceIndex, _ involved: [SenderTable.Sender], digests: [UInt64]?, now: Moment
  ) {
    for i in peers.indices where peers[i].phase == .connected {
      let sender = senders[peers[i].sender]
      guard involved.contains(sender) else { continue }
      peers[i].flags.insert(.onParole)
      // What it works on together with others goes on without it.
      picker?.disown(PeerKey(i), state: &peers[i].pick)
    }
    picker?.suspects.insert(piece)
    guard let digests, digests.count == involved.count else { return }
    for forgotten in blame.record(piece, senders: involved, digests: digests) {
      picker?.suspects.remove(forgotten)
    }
  }

  /// The piece is good at last: the blocks that differ tell who lied.
  private func resolveBlame(_ piece: PieceIndex, digests: [UInt64]?, now: Moment) {
    let (liars, honest) = blame.resolve(piece, digests: digests)
    for liar in liars { convict(liar, .corruptBlock, now: now) }
    for i in peers.indices where peers[i].phase == .connected && peers[i].has(.onParole) {
      if honest.contains(senders[peers[i].sender]) { peers[i].flags.remove(.onParole) }
    }
  }

  private func convict(_ liar: SenderTable.Sender, _ reason: BanReason, now: Moment) {
    let address = liar.endpoint.address
    if address.isLoopback {
      // Everybody on this machine has this address.
      book.ban(liar)
    } else if book.ban(address) {
      effects.append(.ban(address, reason))
    }
    for i in peers.indices where peers[i].phase == .connected {
      let profile = peers[i].profile
      if book.isBanned(SenderTable.Sender(endpoint: profile.endpoint, peerID: profile.peerID)) {
        disconnect(PeerKey(i), .banned, now: now)
      }
    }
  }

  // MARK: Found and lost

  /// Pieces were found on disk by a check, not downloaded.
  public func piecesFound(_ pieces: some Sequence<PieceIndex>, now: Moment) {
    for piece in pieces where geometry.contains(piece) {
      if let slot = picker?.slot(of: piece) { abandon(piece, slot: slot, now: now) }
      pieceCame(piece, now: now)
    }
    dropPickerIfIdle()
  }

  /// These pieces are not on disk after all.
  public func piecesLost(_ lost: some Sequence<PieceIndex>, now: Moment) {
    var isAny = false
    for piece in lost where pieces.remove(piece) {
      isAny = true
      for i in peers.indices where peers[i].phase == .connected {
        send(.sendDontHave(PeerKey(i), piece), to: PeerKey(i), now: now)
      }
      guard priorities.map({ $0[piece.offset] != .skip }) ?? true else { continue }
      missingCount += 1
      picker?.pieceWent(piece, random: &random)
    }
    guard isAny else { return }
    preparePicker()
    findAllWitnesses(now: now)
    isConnectDue = true
  }

  // MARK: Wishes

  /// One priority per piece, or `nil` for "all normal".
  public func prioritiesChanged(_ new: [PiecePriority]?, now: Moment) {
    precondition(new == nil || new?.count == geometry.pieceCount)
    let wasFinished = isFinished
    priorities = new?.allSatisfy { $0 == .normal } == true ? nil : new
    missingCount = (0..<geometry.pieceCount).count { p in
      !pieces[PieceIndex(p)] && (priorities.map { $0[p] != .skip } ?? true)
    }
    if picker != nil {
      let unwanted = picker?.setPriorities(priorities, have: pieces, random: &random) ?? []
      for piece in unwanted {
        if let slot = picker?.slot(of: piece) { abandon(piece, slot: slot, now: now) }
      }
    } else {
      preparePicker()
    }
    findAllWitnesses(now: now)
    if isFinished, !wasFinished { finished(now: now) }
    if !isFinished { isConnectDue = true }
    dropPickerIfIdle()
  }

  /// Lets an unfinished piece go.
  private func abandon(_ piece: PieceIndex, slot: Int, now: Moment) {
    cancelRequests(for: piece, now: now)
    _ = releaseSenders(slot)
    picker?.close(slot, random: &random)
    effects.append(.abandonPiece(piece))
  }

  public func sequentialChanged(_ isSequential: Bool, now: Moment) {
    self.isSequential = isSequential
    picker?.isSequential = isSequential
  }

  // MARK: Pausing

  /// Closes all connections and makes no more until ``resumed(now:)``. Pieces under way are abandoned, but for those
  /// that are being verified.
  public func paused(now: Moment) {
    guard activity != .paused else { return }
    for i in peers.indices { disconnect(PeerKey(i), .paused, now: now) }
    activity = .paused
    book.forgetConnecting(now: now)
    abandonAll(keepingWhole: true, now: now)
    timers.connect = .distantFuture
    dropPickerIfIdle()
  }

  public func resumed(now: Moment) {
    guard activity == .paused else { return }
    restart(now: now)
  }

  /// Storage does not work (disk full, file gone): nothing is asked for and nothing served until it resumes. All pieces
  /// under way are abandoned, also those whose verdict is out.
  public func storageFailed(now: Moment) {
    guard activity == .running else { return }
    activity = .storageFailed
    for i in peers.indices where peers[i].phase == .connected {
      choke(PeerKey(i), keepingAllowed: false, now: now)
    }
    abandonAll(keepingWhole: false, now: now)
    timers.connect = .distantFuture
  }

  public func storageResumed(now: Moment) {
    guard activity == .storageFailed else { return }
    restart(now: now)
  }

  private func restart(now: Moment) {
    activity = .running
    isConnectDue = true
    areSlotsStale = true
    preparePicker()
    for i in peers.indices { peers[i].requests.restart() }
    findAllWitnesses(now: now)
  }

  private func abandonAll(keepingWhole: Bool, now: Moment) {
    for slot in 0..<(picker?.open.slotCount ?? 0) where picker?.open.isOpen(slot) == true {
      guard let entry = picker?.open[slot], !(keepingWhole && entry.isAwaitingVerdict) else { continue }
      abandon(entry.piece, slot: slot, now: now)
    }
  }
}
