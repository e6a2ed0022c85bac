import Engine

/// From sources to torrents of the session.
extension TransferRunner {
  /// Begins to read what waits, as far as its turn has come.
  func loadMore() {
    // A torrent whose disk failed leaves its place to others.
    while loaders < Self.loaderLimit, let source = nextSource {
      switch source {
      case .magnet(let link):
        if let number = jobs.loadNext() { follow(link, number) }
      case .file: loadFiles()
      case .url, .standardInput:
        if let number = jobs.loadNext() { load([(number, source)]) }
      }
    }
  }

  /// Where the next torrent comes from, if there is room for it.
  private var nextSource: TorrentSource? {
    jobs.loading + jobs.working < plan.concurrent ? jobs.nextSource : nil
  }

  private func loadFiles() {
    var batch: [(Int, TorrentSource)] = []
    while batch.count < Self.loaderBatch, let source = nextSource, case .file = source,
      let number = jobs.loadNext()
    {
      batch.append((number, source))
    }
    load(batch)
  }

  private func load(_ batch: [(number: Int, source: TorrentSource)]) {
    loaders += 1
    let certificate = plan.session.certificateFile
    Task { [post] in
      var loaded: [Loaded] = []
      for (number, source) in batch {
        do throws(CommandFailure) {
          let metainfo = try await source.load(certificateFile: certificate)
          loaded.append(Loaded(number: number, result: .success(metainfo)))
        } catch {
          loaded.append(Loaded(number: number, result: .failure(error)))
        }
      }
      post.yield(.loaded(loaded))
    }
  }

  /// Torrents were read: those that are new go to the session, all at once.
  func loaded(_ batch: [Loaded]) async {
    defer { loadMore() }
    guard let session else { return }
    var numbers: [Int] = []
    var torrents: [(metainfo: TorrentMetainfo, options: TorrentOptions)] = []
    for item in batch {
      // A link that was given up says so once more.
      if case .ended = jobs[item.number].phase { continue }
      do throws(CommandFailure) {
        guard let options = try await options(of: item) else { continue }
        let metainfo = try item.result.get()
        numbers.append(item.number)
        torrents.append((metainfo, options))
        jobByHash[metainfo.info.infoHash] = item.number
      } catch {
        await refuse(item, error)
      }
    }
    guard !numbers.isEmpty else { return }
    let added = await session.add(torrents)
    for (place, result) in added.enumerated() {
      let number = numbers[place]
      switch result {
      case .success(let torrent):
        jobs.enter(.active(torrent, TransferWatch()), number)
      case .failure(let error):
        let metainfo = torrents[place].metainfo
        if jobByHash[metainfo.info.infoHash] == number { jobByHash[metainfo.info.infoHash] = nil }
        await refuse(Loaded(number: number, result: .success(metainfo)), CommandFailure(error))
      }
    }
    await refresh(numbers)
  }

  /// How to add a torrent that was read; nil when it is not to be added.
  private func options(of item: Loaded) async throws(CommandFailure) -> TorrentOptions? {
    let metainfo = try item.result.get()
    let number = item.number
    let info = metainfo.info
    for warning in metainfo.warnings { logger.info("\(jobs[number].source): \(warning)") }
    if try await endWithMetadata(metainfo, number) { return nil }
    if let other = jobByHash[info.infoHash], other != number {
      logger.warning("\(jobs[number].source) is the same torrent as \(jobs[other].source) and left out")
      jobs.enter(.leftOut, number)
      return nil
    }
    if plan.goal.kind == .download, let path = claims.claim(info) {
      throw CommandFailure(
        .other, "another torrent of this command writes '\(path)' too; download it with another -d")
    }
    var options = plan.torrent
    options.selectedFiles = try plan.selection.select(from: info) ?? jobs[number].source.selection(in: info)
    options.peers = peers
    return options
  }

  private func refuse(_ item: Loaded, _ error: CommandFailure) async {
    let info = (try? item.result.get())?.info
    let name = info?.name ?? jobs[item.number].source.description
    complain(error, of: name)
    if let magnet = jobs[item.number].magnet { await session?.remove(magnet) }
    jobs.enter(
      .ended(
        TransferResult(
          status: .failed, exit: error.status, error: error.description, name: name,
          infohash: info?.infoHash.hex)), item.number)
  }
}
