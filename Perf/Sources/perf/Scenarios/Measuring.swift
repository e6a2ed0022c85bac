/// Takes a scenario through its points: clients in turn, then counts, then profiles.
struct Measuring {
  private let scenario: any Scenario
  private let bench: Bench
  private let times: Bool
  private let clients: [any Client]

  init(_ scenario: any Scenario, _ bench: Bench, times: Bool) {
    self.scenario = scenario
    self.bench = bench
    self.times = times
    clients =
      scenario.action.map { action in bench.options.clients.filter { $0.actions.contains(action) } } ?? [
        Rooms()
      ]
  }

  func outcomes(profile: Bool) -> [Outcome] {
    var outcomes: [Outcome] = []
    for (index, point) in scenario.points(bench.options).enumerated() {
      var here = clients.map { Outcome(scenario: scenario.name, client: $0.name, point: point) }
      if times {
        for turn in 1...bench.options.runs {
          for (at, client) in clients.enumerated() where here[at].failure == nil {
            time(point, client, turn, into: &here[at])
          }
        }
      }
      // Counts are the same wherever they are taken; the first point, the usual one, stands for all.
      if bench.options.counts, index == 0, let points = scenario.countingPoints(point) {
        for (at, client) in clients.enumerated() where here[at].failure == nil {
          count(points, client, into: &here[at])
        }
      }
      if profile, index == 0 {
        for (at, client) in clients.enumerated() where here[at].failure == nil { self.profile(point, client) }
      }
      bench.dropData()
      outcomes += here
    }
    return outcomes
  }

  private func time(_ point: Point, _ client: any Client, _ turn: Int, into outcome: inout Outcome) {
    do throws(Failure) {
      let run = try scenario.run(point, client, bench, .none)
      outcome.runs.append(run)
      let speed =
        run.bytes > 0 ? "\(Table.figure(run.speed)) MiB/s, \(Table.figure(run.cpuPerGiB)) CPU s/GiB" : "done"
      note("\(scenario.name) \(describe(point)) \(client.name), run \(turn): \(speed)")
    } catch {
      outcome.failure = error.description
      note("\(scenario.name) \(describe(point)) \(client.name): \(error)")
    }
  }

  private func count(
    _ points: (small: Point, large: Point), _ client: any Client, into outcome: inout Outcome
  ) {
    do throws(Failure) {
      var totals: [Totals] = []
      for point in [points.small, points.large] {
        let files = CountFiles(bench.folder)
        let run = try scenario.run(point, client, bench, .counting(files))
        totals.append(files.totals(blocks: run.bytes / blockBytes))
      }
      outcome.counts = Totals.difference(totals[1], totals[0])
      note("\(scenario.name) \(client.name): counted")
    } catch {
      outcome.failure = error.description
      note("\(scenario.name) \(client.name), counting: \(error)")
    }
  }

  private func profile(_ point: Point, _ client: any Client) {
    do throws(Failure) {
      note("\n" + (try bench.profile(scenario, point, client)))
    } catch {
      note("\(scenario.name) \(client.name), profiling: \(error)")
    }
  }

  private func describe(_ point: Point) -> String {
    [
      point.size > 0 ? Table.size(point.size) : nil,
      point.piece > 0 ? "pieces \(Table.size(point.piece))" : nil,
      point.connections > 0 ? "\(point.connections) connections" : nil,
    ].compactMap(\.self).joined(separator: ", ")
  }
}
