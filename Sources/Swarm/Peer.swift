import PeerWire
import TorrentModel

/// What the swarm knows of one connection.
struct Peer {
  enum Phase: UInt8 {
    /// The key is not in use.
    case vacant
    case connected
    /// A `disconnect` is on its way to the driver; nothing that comes from the peer counts any more.
    case closing
  }

  struct Flags: OptionSet {
    var rawValue: UInt16
    /// The peer does not let us download.
    static let chokesUs = Flags(rawValue: 1 << 0)
    /// We do not let the peer download.
    static let choked = Flags(rawValue: 1 << 1)
    /// We said that we are interested.
    static let interesting = Flags(rawValue: 1 << 2)
    /// The peer is interested in us.
    static let interested = Flags(rawValue: 1 << 3)
    /// Unchoked without having earned it.
    static let optimistic = Flags(rawValue: 1 << 4)
    static let snubbed = Flags(rawValue: 1 << 5)
    /// Sent blocks of a piece that came out wrong; may be innocent.
    static let onParole = Flags(rawValue: 1 << 6)
    /// Downloads nothing (BEP 21).
    static let uploadOnly = Flags(rawValue: 1 << 7)
    static let fast = Flags(rawValue: 1 << 8)
    /// Its pieces are counted one by one by the picker; otherwise it is empty, or counts as a full peer.
    static let counted = Flags(rawValue: 1 << 9)
    /// Something happened to it in this turn.
    static let touched = Flags(rawValue: 1 << 10)
    /// Waits for something to ask for.
    static let hungry = Flags(rawValue: 1 << 11)
    /// Waits for room to be served.
    static let waiting = Flags(rawValue: 1 << 12)
    /// Its pieces were told, by `bitfield`, `have all` or `have none`.
    static let introduced = Flags(rawValue: 1 << 13)
    static let wasUnchoked = Flags(rawValue: 1 << 14)
    /// Quick enough to take whole pieces.
    static let whole = Flags(rawValue: 1 << 15)
  }

  var phase = Phase.vacant
  var flags: Flags = [.chokesUs, .choked]
  var profile: PeerProfile
  var have: PieceSet
  var pick = PickState()
  var requests = RequestQueue()
  var uploads = UploadQueue()
  var download = TransferRate()
  var upload = TransferRate()
  /// Slot in the ``SenderTable``.
  var sender: UInt32
  /// Where the peer can be connected to, once known.
  var listensOn: Endpoint?
  var client: String?
  /// Requests the peer takes at once (BEP 10).
  var requestLimit: Int
  var connectedAt: Moment
  var receivedAt: Moment
  var sentAt: Moment
  /// When we last choked or unchoked it.
  var chokeChangedAt: Moment
  /// `upload.total` when it was unchoked.
  var uploadedBeforeUnchoke: Int64 = 0
  /// Since when neither side wanted anything; nil while one does.
  var uselessSince: Moment?
  var snubbedSince: Moment?
  /// Pieces it gives us while it chokes us, and those we give it (BEP 6).
  var allowedFromPeer: [PieceIndex] = []
  var allowedToPeer: [PieceIndex] = []
  /// Pieces it would like us to ask for (BEP 6).
  var suggested: [PieceIndex] = []
  var suggestedToPeerAt = Moment.zero
  /// Things a well-behaved peer does not do, but which may come from a race.
  var strikes = 0

  static let allowedLimit = 64
  static let suggestedLimit = 16
  static let strikeLimit = 64

  init(_ profile: PeerProfile, pieceCount: Int, sender: UInt32, requestLimit: Int, now: Moment) {
    self.phase = .connected
    self.profile = profile
    self.have = PieceSet(capacity: pieceCount)
    self.sender = sender
    self.requestLimit = requestLimit
    self.connectedAt = now
    self.receivedAt = now
    self.sentAt = now
    self.chokeChangedAt = now
    if profile.reserved.contains(.fast) { flags.insert(.fast) }
    if !profile.isIncoming { listensOn = profile.endpoint }
  }

  /// What stands in an array where no peer is.
  static let vacant = Peer(
    PeerProfile(
      endpoint: Endpoint(address: IPAddress(v4: 0), port: 0), peerID: PeerID(Bytes20()), reserved: [],
      isIncoming: false), pieceCount: 0)

  private init(_ profile: PeerProfile, pieceCount: Int) {
    self.init(profile, pieceCount: pieceCount, sender: SenderTable.none, requestLimit: 0, now: .zero)
    phase = .vacant
  }

  @inline(__always) func has(_ flag: Flags) -> Bool { flags.contains(flag) }
  var isConnected: Bool { phase == .connected }
  mutating func setWhole(_ isWhole: Bool) {
    if isWhole { flags.insert(.whole) } else { flags.remove(.whole) }
  }

  /// It has told some of its pieces, or that it has none.
  var isIntroduced: Bool { flags.contains(.introduced) || !have.isEmpty }

  /// It cannot want anything from us.
  var isSatisfied: Bool { (have.isFull && have.capacity > 0) || flags.contains(.uploadOnly) }
}

extension Peer {
  /// A block that was asked for and came.
  struct Arrival {
    /// Slot of the open piece.
    var slot: Int32
    var sender: UInt32
    var wasSnubbed: Bool
    /// Nothing else has happened to the peer in this turn.
    var isFirst: Bool
  }

  /// A block of the torrent came; nil when no request for it stands. All that changes in one go: each look at the swarm's
  /// peers costs a check, and this is done for every block.
  /// - Parameter share: blocks to ask of any peer at once, at most.
  mutating func blockArrived(_ block: BlockRequest, share: Int, now: Moment) -> Arrival? {
    let number = UInt32(truncatingIfNeeded: block.blockOffset)
    guard let index = requests.index(of: block.piece, number) else { return nil }
    let entry = requests.arrived(at: index, maximum: max(1, min(share, requestLimit)), now: now)
    if entry.isReleased { requests.forgetRepeat(of: block.piece, number, now: now) }
    receivedAt = now
    let isFirst = !has(.touched)
    flags.insert(.touched)
    return Arrival(slot: entry.slot, sender: sender, wasSnubbed: has(.snubbed), isFirst: isFirst)
  }
}
