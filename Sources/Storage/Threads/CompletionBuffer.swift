/// Completions on their way to their ports, gathered so that each port is called once a turn.
struct CompletionBuffer: ~Copyable {
  private var ports: [(port: CompletionPort, completions: [DiskCompletion])] = []
  /// The one used last; nearly always the one used next.
  private var last = 0

  mutating func append(_ storage: TorrentStorage, _ event: DiskCompletion.Event) {
    if last >= ports.count || ports[last].port !== storage.port {
      if let found = ports.firstIndex(where: { $0.port === storage.port }) {
        last = found
      } else {
        last = ports.count
        ports.append((storage.port, []))
      }
    }
    ports[last].completions.append(DiskCompletion(storage: storage, event: event))
  }

  mutating func deliver() {
    for i in ports.indices where !ports[i].completions.isEmpty {
      ports[i].port.deliver(&ports[i].completions)
      ports[i].completions.removeAll(keepingCapacity: true)
    }
    // Sessions come and go with their ports in tests only; still nothing may pile up.
    if ports.count > 64 { ports.removeAll() }
  }
}

/// Jobs done in this turn, counted for each torrent so that its gate is locked once.
struct JobTally: ~Copyable {
  private var counts: [(storage: TorrentStorage, count: Int)] = []

  mutating func add(_ storage: TorrentStorage) {
    if let last = counts.indices.last, counts[last].storage === storage {
      counts[last].count += 1
    } else {
      counts.append((storage, 1))
    }
  }

  mutating func report(to core: DiskCore) {
    for (storage, count) in counts { core.finished(storage, count) }
    counts.removeAll(keepingCapacity: true)
  }
}
