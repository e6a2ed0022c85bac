import TorrentModel

extension AnnounceSchedule {
  public struct Configuration: Hashable, Sendable {
    /// Announce to one tracker of each tier, where BEP 12 has the later ones as a reserve.
    public var announceToAllTiers = false
    /// How many peers to ask for while more are needed.
    public var numberWanted = 200
    /// How many peers to ask for otherwise.
    public var numberWantedWhenSatisfied = 50
    /// The interval when a tracker names none.
    public var defaultInterval = Moment.Interval.seconds(1800)
    /// No tracker makes us announce more often than this, whatever interval it names.
    public var shortestInterval = Moment.Interval.seconds(5)
    /// No tracker keeps us away for longer than this, other than for ever.
    public var longestInterval = Moment.Interval.seconds(86400)
    /// How long to wait before asking for more peers ahead of time, where the tracker names no minimum. Doubled
    /// each time that does not end the need.
    public var earlyInterval = Moment.Interval.seconds(60)
    /// How long a tracker rests after its first failure in a row; then twice as long each time, and all of it by
    /// a quarter more or less at random.
    public var firstRetry = Moment.Interval.seconds(10)
    /// The longest such rest.
    public var longestRetry = Moment.Interval.seconds(1800)

    public init() {}
  }

  /// Carry out one announce.
  public struct Order: Hashable, Sendable {
    /// Which one this is, for the report.
    public var number: UInt32
    /// Which tracker: its place in ``AnnounceSchedule/trackers``.
    public var tracker: Int
    public var url: TrackerURL
    public var event: AnnounceEvent
    public var numberWanted: Int
    public var key: UInt32
    public var trackerID: [UInt8]?
    /// How often a UDP tracker is asked again before the announce counts as failed: rarely, since the schedule
    /// has other trackers to try, and comes back by itself.
    public var retransmissions: Int
  }

  public enum Action: Hashable, Sendable {
    case announce(Order)
    /// The outcome of this order does not matter any more.
    case cancelAnnounce(number: UInt32, tracker: Int)
    /// Show the user what a tracker has to say.
    case showWarning(tracker: Int, String)
    /// Show the user that a tracker does not work. It is tried again by itself.
    case showFailure(tracker: Int, TrackerError)
    /// Every tracker that had to know was told that the torrent stops, or has failed to listen.
    case finishStopping
  }
}
