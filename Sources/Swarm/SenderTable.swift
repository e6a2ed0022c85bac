import TorrentModel

/// Who sent the blocks of open pieces. A sender is remembered for as long as it is connected or a block of it may still
/// turn out to be bad; then its slot is used again.
struct SenderTable {
  /// Stands for "nobody".
  static let none = UInt32.max

  struct Sender: Hashable {
    var endpoint: Endpoint
    var peerID: PeerID
  }

  private var senders: [Sender] = []
  private var references: [Int32] = []
  private var vacant: [UInt32] = []

  var count: Int { senders.count - vacant.count }

  subscript(slot: UInt32) -> Sender { senders[Int(slot)] }

  /// A new sender, with one reference: the connection's.
  mutating func add(_ sender: Sender) -> UInt32 {
    if let slot = vacant.popLast() {
      senders[Int(slot)] = sender
      references[Int(slot)] = 1
      return slot
    }
    senders.append(sender)
    references.append(1)
    return UInt32(senders.count - 1)
  }

  @inline(__always) mutating func retain(_ slot: UInt32) { references[Int(slot)] += 1 }

  @inline(__always) mutating func release(_ slot: UInt32) {
    references[Int(slot)] -= 1
    precondition(references[Int(slot)] >= 0)
    if references[Int(slot)] == 0 { vacant.append(slot) }
  }

  /// Gives memory back if nobody is remembered.
  mutating func shrink() {
    if count == 0 { self = SenderTable() }
  }

  var allReferences: Int { references.reduce(0) { $0 + Int($1) } }
}
