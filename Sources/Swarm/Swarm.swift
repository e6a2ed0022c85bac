import PeerWire
import TorrentModel

/// The brain of one torrent: whom to connect to, what to ask of whom, whom to serve, whom to ban.
///
/// Pure: events come in as method calls that carry the time, ``effects`` go out, randomness comes from a seed. The
/// same calls give the same effects. It is confined to the loop that owns the torrent.
///
/// The driver calls any number of events, then ``turnEnded(now:)``, then carries the effects out in order. It calls
/// ``tick(now:)`` when ``nextDeadline`` has come.
public final class Swarm {
  public let geometry: PieceGeometry
  let configuration: SwarmConfiguration

  /// What the driver has to do, in order. The driver empties it and may keep its capacity.
  public var effects: [SwarmEffect] = []

  /// When ``tick(now:)`` wants to be called; `.distantFuture` when there is nothing to wait for.
  public private(set) var nextDeadline = Moment.distantFuture

  /// Blocks that may be open at once: asked for, or arrived in pieces that are not yet verified and written. The
  /// driver sets it from the size of the block pool.
  public var openBlockBudget = 2048
  /// Blocks that may be with the driver for uploading at once, over all peers.
  public var uploadBlockBudget = 1024
  /// Connections this torrent may have, those being made counted.
  public var maximumConnections = 200
  /// Connections that may be in the making at once.
  public var halfOpenLimit = 32
  /// Our address as others see it, for canonical peer priority (BEP 40).
  public var externalEndpoint: Endpoint?

  /// - Parameters:
  ///   - have: the pieces that are verified and on disk.
  ///   - seed: of the random choices.
  public init(
    geometry: PieceGeometry, have: Bitfield, configuration: SwarmConfiguration, seed: UInt64, now: Moment
  ) {
    precondition(have.capacity == geometry.pieceCount)
    self.geometry = geometry
    self.configuration = configuration
  }

  // MARK: State

  /// The pieces that are verified and on disk.
  public var have: Bitfield { Bitfield(capacity: geometry.pieceCount) }
  /// Every piece of the torrent is here.
  public var isComplete: Bool { false }
  /// Every piece that is wanted is here.
  public var isFinished: Bool { false }

  public func snapshot(now: Moment) -> SwarmSnapshot { SwarmSnapshot() }
  public func peerSnapshots(now: Moment) -> [PeerSnapshot] { [] }
  /// Seconds to the end at the present rate, as a smooth guess; `nil` when nothing moves or nothing is left.
  public func timeLeft(now: Moment) -> Moment.Interval? { nil }

  /// The block that `peer` should send as number `index` from now, 0 being the next, if it answers in order: what a
  /// read plan is laid out for.
  public func expectedBlock(_ peer: PeerKey, _ index: Int) -> BlockRequest? { nil }

  // MARK: Connections

  /// Whether a connection from this endpoint would be kept; the reason if not. To be asked as soon as the info-hash is
  /// known; the peer id is looked at in ``peerConnected(_:_:now:)``.
  public func refusal(ofIncoming endpoint: Endpoint, now: Moment) -> DisconnectReason? { nil }

  /// The handshake is done. Our bitfield is the first effect; an unwelcome peer gets a `disconnect` instead.
  public func peerConnected(_ peer: PeerKey, _ profile: PeerProfile, now: Moment) {}
  public func peerDisconnected(_ peer: PeerKey, reason: DisconnectReason, now: Moment) {}
  public func connectFailed(_ endpoint: Endpoint, reason: DisconnectReason, now: Moment) {}
  public func peersDiscovered(_ endpoints: some Sequence<Endpoint>, source: PeerSource, now: Moment) {}
  /// Another torrent, or the user, banned this address.
  public func addressBanned(_ address: IPAddress, now: Moment) {}

  // MARK: Messages

  /// Every message but `piece` and `extended`, which have methods of their own.
  public func messageReceived(_ peer: PeerKey, _ message: PeerMessage, now: Moment) {}
  /// The peer takes a `have` back (BEP 54).
  public func dontHaveReceived(_ peer: PeerKey, _ piece: PieceIndex, now: Moment) {}
  /// Something arrived that the swarm does not look at: a message of an extension, part of a block.
  public func activityNoticed(_ peer: PeerKey, now: Moment) {}

  // MARK: Blocks

  /// A block is complete in memory.
  public func blockArrived(_ peer: PeerKey, _ block: BlockRequest, now: Moment) -> BlockVerdict {
    .unrequested
  }
  /// Payload bytes were read. To be called once a read.
  public func payloadReceived(_ peer: PeerKey, _ bytes: Int, now: Moment) {}
  /// Payload bytes went out. To be called once a write.
  public func payloadSent(_ peer: PeerKey, _ bytes: Int, now: Moment) {}
  /// A block of a `sendBlock` is in the output buffer, or gone out: it can no longer be recalled.
  public func uploadFinished(_ peer: PeerKey, _ block: BlockRequest, now: Moment) {}
  /// A block of a `sendBlock` was not sent: it was recalled, or could not be read.
  public func uploadDropped(_ peer: PeerKey, _ block: BlockRequest, now: Moment) {}

  // MARK: Storage

  /// The piece has the right hash and is written.
  ///
  /// - Parameter blockDigests: a digest of each block if the piece's blocks had been under suspicion
  ///   (``wantsDigests(of:)``), so that liars are found.
  public func pieceVerified(_ piece: PieceIndex, blockDigests: [UInt64]?, now: Moment) {}
  /// The piece has the wrong hash; storage has dropped its blocks.
  ///
  /// - Parameter blockDigests: a digest of each block, by the same function as for `pieceVerified`.
  public func pieceFailed(_ piece: PieceIndex, blockDigests: [UInt64]?, now: Moment) {}
  /// Whether ``pieceVerified(_:blockDigests:now:)`` needs the digests of this piece: it has failed before.
  public func wantsDigests(of piece: PieceIndex) -> Bool { false }
  /// These pieces are not on disk after all.
  public func piecesLost(_ pieces: some Sequence<PieceIndex>, now: Moment) {}
  /// Pieces were found on disk by a check, not downloaded.
  public func piecesFound(_ pieces: some Sequence<PieceIndex>, now: Moment) {}
  /// Storage does not work (disk full, file gone): nothing is asked for and nothing served until it resumes.
  public func storageFailed(now: Moment) {}
  public func storageResumed(now: Moment) {}

  // MARK: Wishes of the user

  /// One priority per piece, or `nil` for "all normal".
  public func prioritiesChanged(_ priorities: [PiecePriority]?, now: Moment) {}
  public func sequentialChanged(_ isSequential: Bool, now: Moment) {}
  /// Closes all connections and makes no more until ``resumed(now:)``.
  public func paused(now: Moment) {}
  public func resumed(now: Moment) {}

  // MARK: Time

  /// Does what is due.
  public func tick(now: Moment) {}
  /// The end of a turn of the loop: requests and uploads are pumped here, once per peer that something happened to.
  public func turnEnded(now: Moment) {}
}
