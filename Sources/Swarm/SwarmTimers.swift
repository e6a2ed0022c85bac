import TorrentModel

/// When each kind of periodic work is due. Nothing is due in a torrent that has no peers and wants none.
struct SwarmTimers {
  /// Work of every second while something moves: timeouts, pipelines, choking.
  var heartbeat = Moment.distantFuture
  /// Keep-alives and dead peers, while nothing moves.
  var sweep = Moment.distantFuture
  /// The next peer to connect to.
  var connect = Moment.distantFuture
  var chokeRound = Moment.zero
  var optimisticRound = Moment.zero
  /// Before this, sources are not asked for more peers again.
  var morePeers = Moment.zero

  static let heartbeatInterval = Moment.Interval.seconds(1)
  static let morePeersInterval = Moment.Interval.seconds(60)

  var next: Moment { min(heartbeat, min(sweep, connect)) }
}
