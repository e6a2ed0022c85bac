import TorrentModel

enum ControlJob: Sendable {
  /// A job that runs alone.
  case alone(DiskJob)
  case save(DiskJob)
}

/// Does what concerns a torrent as a whole. One of a few threads that share a queue.
final class Controller {
  private let core: DiskCore
  private var jobs: [ControlJob] = []
  private var completions = CompletionBuffer()

  init(core: DiskCore) { self.core = core }

  func run() {
    while case .jobs = core.controlQueue.take(into: &jobs, limit: 1) {
      for job in jobs {
        switch job {
        case .alone(let job): runAlone(job)
        case .save(let job): save(job)
        }
      }
      jobs.removeAll(keepingCapacity: true)
    }
  }

  private func save(_ job: DiskJob) {
    guard case .save(let verified, let userData) = job.work else { return }
    let storage = job.storage
    do throws(StorageFailure) {
      try TorrentFiles(storage: storage, cache: core.cache).save(verified: verified, userData: userData)
      completions.append(storage, .saved)
    } catch {
      completions.append(storage, .operationFailed(error))
      // When what was written is not safe, or not there any more, the torrent is in trouble; not when only its record
      // could not be written.
      switch error.cause {
      case _ where error.operation == .save: break
      case .permission, .tooManyFiles: break
      default: core.stop(storage, error, worker: nil, into: &completions)
      }
    }
    completions.deliver()
    core.finishedSave(storage)
  }

  private func runAlone(_ job: DiskJob) {
    let storage = job.storage
    let files = TorrentFiles(storage: storage, cache: core.cache)
    do throws(StorageFailure) {
      switch job.work {
      case .blocks, .abandon, .read, .save: preconditionFailure("this job does not run alone")
      case .open(let options):
        storage.isStopped.store(true, ordering: .releasing)
        let result = try files.open(options)
        storage.isStopped.store(false, ordering: .releasing)
        completions.append(storage, .opened(result))
      case .check(let pieces):
        // Ends when the last checking thread is done with it.
        if let task = try files.beginCheck(pieces) { return task.start(in: core) }
        completions.append(storage, .checked(files.nothingToCheck(pieces)))
      case .hash:
        if let task = try files.beginHash() { return task.start(in: core) }
        completions.append(storage, .hashed([]))
      case .setWanted(let wanted):
        precondition(wanted.count == storage.files.count)
        try files.setWanted(wanted)
        completions.append(storage, .wantedChanged)
      case .close:
        storage.isStopped.store(true, ordering: .releasing)
        core.cache.forget(torrent: storage.id)
        completions.append(storage, .closed)
      case .delete:
        storage.isStopped.store(true, ordering: .releasing)
        try files.delete()
        completions.append(storage, .deleted)
      case .move(let root):
        try files.move(to: root)
        completions.append(storage, .moved(root: root))
      }
    } catch {
      completions.append(storage, .operationFailed(error))
    }
    // Before the next job may begin: its completions come after these.
    completions.deliver()
    core.finishedAlone(storage)
  }
}
