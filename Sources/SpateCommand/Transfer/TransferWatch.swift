import Engine

/// When a torrent has done what it was started for.
struct TransferGoal: Hashable, Sendable {
  enum Kind: Sendable {
    case download
    case seed
  }
  var kind: Kind
  /// Uploaded bytes as a multiple of the size of the wanted files.
  var seedRatio: Double?
  /// Seconds of seeding.
  var seedTime: Double?
  /// Seconds without a byte received after which a download is given up.
  var timeout: Double?

  /// Whether there is anything to do once all is there.
  var seeds: Bool { kind == .seed || seedRatio != nil || seedTime != nil }

  /// Whether it can be met, or given up, by time or counts alone, without an event that tells.
  var isTimed: Bool { seedRatio != nil || seedTime != nil || (kind == .download && timeout != nil) }
}

/// What the watch looks at. Sizes in bytes.
struct TransferSample: Hashable, Sendable {
  var state: TorrentState
  var total: Int64
  var downloaded: Int64
  var uploaded: Int64
  var everHadPeer: Bool
}

extension TransferSample {
  init(_ status: TorrentStatus) {
    self.init(
      state: status.state, total: status.wantedBytes, downloaded: status.downloadedBytes,
      uploaded: status.uploadedBytes, everHadPeer: status.everHadPeer)
  }
}

extension TransferSample {
  init(_ status: MagnetStatus) {
    self.init(
      state: .fetchingMetadata, total: 0, downloaded: Int64(status.havePieces), uploaded: 0,
      everHadPeer: status.everHadPeer)
  }
}

enum TransferVerdict: Hashable, Sendable {
  case goOn
  case goalMet
  /// The disk failed. The engine tries again by itself; when nothing else is left to do, the command ends.
  case failed
  case timedOut(hadPeer: Bool)
  /// What should be seeded is not all there.
  case incomplete
}

/// Watches one torrent and says when it is done. Times are seconds of any clock that only moves forward.
struct TransferWatch: Sendable {
  private var downloaded: Int64 = 0
  private var lastArrival: Double?
  private var completeSince: Double?

  init() {}

  mutating func observe(_ sample: TransferSample, of goal: TransferGoal, now: Double) -> TransferVerdict {
    if sample.state != .downloading, sample.state != .fetchingMetadata { lastArrival = nil }
    if sample.state != .seeding { completeSince = nil }
    switch sample.state {
    case .opening, .checking, .paused: return .goOn
    case .failed: return .failed
    case .finished, .stopped: return .goalMet
    case .downloading, .fetchingMetadata: return downloading(sample, goal, now: now)
    case .seeding: return seeding(sample, goal, now: now)
    }
  }

  private mutating func downloading(_ sample: TransferSample, _ goal: TransferGoal, now: Double)
    -> TransferVerdict
  {
    if goal.kind == .seed, sample.state == .downloading { return .incomplete }
    let last = sample.downloaded != downloaded ? now : lastArrival ?? now
    lastArrival = last
    downloaded = sample.downloaded
    guard let timeout = goal.timeout, now - last >= timeout else { return .goOn }
    return .timedOut(hadPeer: sample.everHadPeer)
  }

  private mutating func seeding(_ sample: TransferSample, _ goal: TransferGoal, now: Double)
    -> TransferVerdict
  {
    guard goal.seeds else { return .goalMet }
    let since = completeSince ?? now
    completeSince = since
    if let ratio = goal.seedRatio, Double(sample.uploaded) >= ratio * Double(sample.total) { return .goalMet }
    if let time = goal.seedTime, now - since >= time { return .goalMet }
    return .goOn
  }
}

extension TorrentStatus {
  /// Why a download is given up that received nothing for `timeout` seconds.
  func timeoutReason(timeout: Double) -> String {
    let time = Units.duration(timeout)
    if everHadPeer { return "nothing arrived for \(time); given up" }
    let trackers = trackers.map { "\($0.url): \($0.failure ?? $0.text)" }
    guard !trackers.isEmpty else {
      return
        "no peer was found in \(time), and there is no tracker to ask; name one with --tracker or a --peer"
    }
    return "no peer was found in \(time) (\(trackers.prefix(3).joined(separator: "; ")))"
  }
}
