import Engine

/// Magnet links: what is in the torrent has to be fetched from peers before files can be chosen.
extension TransferRunner {
  func follow(_ link: MagnetLink, _ number: Int) {
    guard let session else { return }
    for warning in link.warnings { logger.warning("\(jobs[number].source): \(warning)") }
    var options = plan.torrent
    options.peers = peers
    Task { [post, options] in
      do throws(SessionError) {
        post.yield(.linked(number, .success(try await session.add(link, options))))
      } catch {
        post.yield(.linked(number, .failure(CommandFailure(error))))
      }
    }
  }

  /// The session looks for what is in the torrent.
  func linked(_ number: Int, _ result: Result<MagnetDownload, CommandFailure>) async {
    switch result {
    case .failure(let failure): await loaded([Loaded(number: number, result: .failure(failure))])
    case .success(let magnet):
      jobByHash[magnet.infoHash] = number
      jobs.enter(.fetching(magnet, TransferWatch()), number)
      await refresh(number)
      if !magnet.isKnown { tell(.stateChanged(.fetchingMetadata), number) }
      Task { [post] in
        do throws(SessionError) {
          post.yield(.described(Loaded(number: number, result: .success(try await magnet.metainfo()))))
        } catch {
          post.yield(.described(Loaded(number: number, result: .failure(CommandFailure(error)))))
        }
      }
    }
  }

  /// What is in the torrent is known, and that is all that is wanted.
  /// - Returns: false when it is to be downloaded.
  func endWithMetadata(_ metainfo: TorrentMetainfo, _ number: Int) async throws(CommandFailure)
    -> Bool
  {
    switch plan.ending {
    case .transfer: return false
    case .showFiles(let isJSON):
      try console.result(
        isJSON
          ? JSONText.document(TorrentDocument(metainfo))
          : TorrentText.lines(metainfo).joined(separator: "\n"))
    case .saveMetadata(let output, let replaces):
      let name = metainfo.info.name.replacing("/", with: "_")
      let target = try TorrentFileTarget(
        output ?? "\(plan.torrent.folder)/\(name).torrent", replaces: replaces)
      try target.write(metainfo.encoded(), replaces: replaces, console)
      if case .file(let path) = target, printsResults { try console.result(Printable.text(path)) }
    }
    if let magnet = jobs[number].magnet { await session?.remove(magnet) }
    jobs.enter(
      .ended(
        TransferResult(
          status: .complete, exit: .success, name: metainfo.info.name,
          infohash: metainfo.info.infoHash.hex)), number)
    return true
  }

  func refreshMagnet(_ number: Int) async -> MagnetStatus? {
    guard let magnet = jobs[number].magnet else { return nil }
    let status = await magnet.status()
    // The metadata may have come meanwhile.
    guard jobs[number].magnet === magnet else { return nil }
    jobs[number].row = ProgressRow(status)
    return status
  }

  func judgeMagnet(_ number: Int) async {
    guard let status = await refreshMagnet(number), case .fetching(let magnet, var watch) = jobs[number].phase
    else { return }
    let verdict = watch.observe(TransferSample(status), of: plan.goal, now: now)
    jobs.enter(.fetching(magnet, watch), number)
    guard case .timedOut(let hadPeer) = verdict else { return }
    let time = Units.duration(plan.goal.timeout ?? 0)
    let reason =
      hadPeer
      ? "no peer gave the metadata in \(time); given up"
      : "no peer was found in \(time); name one with --peer, a tracker with --tracker, or a DHT node with --dht-node"
    tell(.timedOut(reason), number)
    await session?.remove(magnet)
    endMagnet(number, magnet, .timedOut, hadPeer ? .timedOut : .network, reason)
    loadMore()
  }

  func endMagnet(
    _ number: Int, _ magnet: MagnetDownload, _ how: TransferResult.Status, _ exit: CommandStatus,
    _ error: String
  ) {
    jobs.enter(
      .ended(
        TransferResult(
          status: how, exit: exit, error: error, name: magnet.link.name ?? magnet.infoHash.hex,
          infohash: magnet.infoHash.hex)), number)
    tell(.ended, number)
  }
}
