import DequeModule
import TorrentModel

/// The blocks one peer wants from us. The first `issued` of them are with the driver: being read, or in the output
/// buffer. The others wait here, where a cancel still means something.
struct UploadQueue {
  private(set) var requests = Deque<BlockRequest>()
  private(set) var issued = 0
  /// Room that the issued ones take, in blocks of 16 KiB.
  private(set) var issuedBlocks = 0

  static func blocks(_ request: BlockRequest) -> Int {
    (Int(request.length) + blockLength - 1) / blockLength
  }

  var count: Int { requests.count }
  var hasWaiting: Bool { requests.count > issued }

  mutating func append(_ request: BlockRequest) { requests.append(request) }

  /// The next one to hand to the driver.
  mutating func issue() -> BlockRequest? {
    guard hasWaiting else { return nil }
    let request = requests[issued]
    issued += 1
    issuedBlocks += Self.blocks(request)
    return request
  }

  /// An issued one is done. Returns whether it was there.
  mutating func finish(_ request: BlockRequest) -> Bool {
    for index in 0..<issued where requests[index] == request {
      if index == 0 { requests.removeFirst() } else { requests.remove(at: index) }
      issued -= 1
      issuedBlocks -= Self.blocks(request)
      return true
    }
    return false
  }

  enum Cancellation {
    case unknown
    /// It was waiting and is gone.
    case removed
    /// The driver has it.
    case issued
  }

  mutating func cancel(_ request: BlockRequest) -> Cancellation {
    guard let index = requests.firstIndex(of: request) else { return .unknown }
    if index < issued { return .issued }
    requests.remove(at: index)
    return .removed
  }

  /// Takes out a waiting request that does not pass, from the end; nil when all do.
  mutating func removeWaiting(unless isKept: (BlockRequest) -> Bool) -> BlockRequest? {
    guard let index = requests.lastIndex(where: { !isKept($0) }), index >= issued else { return nil }
    return requests.remove(at: index)
  }
}
