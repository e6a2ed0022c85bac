import PeerWire

/// Small messages to one peer after the other: those that follow each other to the same peer are queued at once.
struct OutputBatch {
  private var peer: PeerConnection?
  private var bytes: [UInt8] = []

  init() { bytes.reserveCapacity(4096) }

  mutating func append(_ message: PeerMessage, to next: PeerConnection) {
    select(next)
    message.append(to: &bytes)
  }

  mutating func append(_ write: (inout [UInt8]) -> Void, to next: PeerConnection) {
    select(next)
    write(&bytes)
  }

  private mutating func select(_ next: PeerConnection) {
    if peer !== next {
      flush()
      peer = next
    }
  }

  /// Hands what is collected to the connection. Also before anything else is written to that connection.
  mutating func flush() {
    guard let peer else { return }
    if !bytes.isEmpty { peer.write(bytes.span) }
    bytes.removeAll(keepingCapacity: true)
    self.peer = nil
  }
}
