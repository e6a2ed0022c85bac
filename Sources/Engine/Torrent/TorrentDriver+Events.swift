import BlockPool
import PeerWire
import Storage
import Swarm
import TorrentModel

/// What the disk says comes in, and the swarm's decisions go out.
extension TorrentDriver {
  // MARK: What the disk says

  func storageCompleted(_ event: DiskCompletion.Event) {
    switch event {
    case .pieceVerified(let piece, let digests): pieceVerified(piece, digests)
    case .pieceFailed(let piece, let digests):
      context.shared.report(.pieceFailed(infoHash, piece))
      swarm?.pieceFailed(piece, blockDigests: digests.isEmpty ? nil : digests, now: now)
    case .blockDropped(let piece, let block): swarm?.blockLost(piece, block: block, now: now)
    case .pieceDropped(let piece): swarm?.pieceDropped(piece, now: now)
    case .opened(let result): storageOpened(result)
    case .checkProgress(let done, _): checkedBytes = done
    case .checked(let result): storageChecked(result)
    case .saved: recordSaved()
    case .failed(let failure): storageFailed(failure)
    case .operationFailed(let failure): operationFailed(failure)
    case .closed, .deleted: storageClosed()
    case .wantedChanged: passedFence()
    case .moved, .hashed, .blocksRead, .readFailed: break
    }
    context.touch(self)
  }

  // MARK: Decisions out

  func carryOutEffects(of swarm: Swarm) {
    // Carrying out may add more, and a peer that goes away takes the effects about it out of the swarm's list: none may
    // be looped over there.
    while !swarm.effects.isEmpty {
      var batch = context.takeEffectBuffer()
      swap(&batch, &swarm.effects)
      for effect in batch { carryOut(effect, of: swarm) }
      context.returnEffectBuffer(batch)
      sendQueuedUploads()
    }
  }

  private func carryOut(_ effect: SwarmEffect, of swarm: Swarm) {
    switch effect {
    case .sendKeepAlive(let key): send(.keepAlive, to: key)
    case .sendChoke(let key): send(.choke, to: key)
    case .sendUnchoke(let key): send(.unchoke, to: key)
    case .sendInterested(let key): send(.interested, to: key)
    case .sendNotInterested(let key): send(.notInterested, to: key)
    case .sendBitfield(let key): send(.bitfield(swarm.have), to: key)
    case .sendHaveAll(let key): send(.haveAll, to: key)
    case .sendHaveNone(let key): send(.haveNone, to: key)
    case .sendHave(let key, let piece): send(.have(piece), to: key)
    case .sendDontHave(let key, let piece): sendDontHave(piece, to: key)
    case .sendRequest(let key, let block):
      guard let peer = peer(key) else { return }
      context.output.append({ PeerMessage.appendRequest(block, to: &$0) }, to: peer)
    case .sendCancel(let key, let block): send(.cancel(block), to: key)
    case .sendReject(let key, let block): send(.reject(block), to: key)
    case .sendAllowedFast(let key, let piece): send(.allowedFast(piece), to: key)
    case .sendSuggest(let key, let piece): send(.suggest(piece), to: key)
    case .sendBlock(let key, let block): queueUpload(block, to: key)
    case .dropUpload(let key, let block): dropUpload(block, to: key)
    case .connect(let endpoint): connect(to: endpoint)
    case .disconnect(let key, let reason): peer(key)?.close(reason, detail: reason.description)
    case .ban(let address, let reason):
      bannedPeers += 1
      context.shared.report(.peerBanned(infoHash, address, reason: reason.description))
    case .wantMorePeers: wantMorePeers()
    case .abandonPiece(let piece): context.jobs.append(DiskJob(storage, .abandon(piece)))
    case .reportFinished: finished()
    case .reportComplete: trackers?.completed(now: now)
    }
  }

  private func sendDontHave(_ piece: PieceIndex, to key: PeerKey) {
    guard let peer = peer(key), let id = peer.remoteID(of: DontHave.registration) else { return }
    context.output.append({ DontHave.append(piece, remoteID: id, to: &$0) }, to: peer)
  }
}
