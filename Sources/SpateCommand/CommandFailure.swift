import Engine

/// Why a command ends without doing what was asked: one line for a person, and the exit code.
struct CommandFailure: Error, Hashable, Sendable, CustomStringConvertible {
  var status: CommandStatus
  /// What went wrong, where, and what to do about it, in one line. Empty when there is nothing to say.
  var description: String

  init(_ status: CommandStatus, _ description: String) {
    self.status = status
    self.description = description
  }
}

extension CommandFailure {
  /// A file that is no torrent.
  init(_ error: MetainfoError, in place: String) {
    self.init(
      error.classification == .notBencode ? .notBencode : .notTorrent,
      "\(place) is no valid torrent: \(error)")
  }

  /// A link that is none.
  init(_ error: MagnetError) {
    self.init(.notTorrent, "this is no magnet link that can be used: \(error)")
  }

  init(_ failure: TorrentFailure) {
    self.init(CommandStatus(failure.kind), failure.description)
  }

  init(_ error: SessionError) {
    let status: CommandStatus =
      switch error {
      case .memoryTooSmall, .noSuchFile, .notATracker, .notANode: .usage
      case .unusableMetadata: .notTorrent
      case .notInDHT: .network
      case .cannotListen, .cannotBind, .outOfResources, .alreadyAdded, .shutDown: .other
      }
    let advice =
      switch error {
      case .cannotListen: "; choose another port with --listen-port, or 0 for any"
      case .cannotBind: "; --bind takes an address or an interface of this machine"
      default: ""
      }
    self.init(status, error.description + advice)
  }

  init(_ failure: TorrentCreator.Failure) {
    switch failure {
    case .cannotRead: self.init(.fileInputOutput, failure.description)
    case .unsuitable: self.init(.other, failure.description)
    case .storage(let inner): self.init(inner)
    case .cancelled: self.init(.interrupted, failure.description)
    }
  }
}

extension CommandFailure {
  /// Why a task failed.
  init(task error: any Error) {
    switch error {
    case let error as CommandFailure: self = error
    case let error as TorrentFailure: self.init(error)
    case let error as TorrentCreator.Failure: self.init(error)
    default: self.init(.other, "\(error)")
    }
  }
}

extension CommandStatus {
  init(_ kind: TorrentFailure.Kind) {
    switch kind {
    case .diskFull: self = .diskFull
    case .inputOutput, .fileMissing, .fileChanged, .permission: self = .fileInputOutput
    case .other: self = .other
    }
  }
}
