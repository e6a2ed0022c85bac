/// Holds a report against a stored one: counts must not grow, ratios must not fall, by more than `tolerance`.
/// Times alone are never compared, as they say as much about the machine's other work as about the program's.
struct Comparison {
  /// A count that grew or a ratio that fell.
  struct Finding: Equatable, CustomStringConvertible {
    let what: String
    let before: Double
    let now: Double

    var description: String { "\(what): \(Table.figure(before)) before, \(Table.figure(now)) now" }
  }

  var tolerance = 0.1
  /// Counts this small per block are start-up leftovers, not work per block.
  var countSlack = 0.01
  /// What a surprise in the order of blocks copies: now and then 2 % of a short run. A copy of each block would be 1.
  var copySlack = 0.03
  /// How many blocks a wake-up finds, and with it how many calls they take, depends on the pace of the machine: 0.10 to 0.20
  /// between runs of one program.
  var callSlack = 0.1
  /// The same for blocks sent: a socket that is full cuts calls short, and how often it is depends on when the leechers run.
  /// Between runs of one program 0.02 to 0.39.
  var sendCallSlack = 0.4
  /// Arrays that grow with what is under way at once grow at another moment in each run: in short runs up to 0.015 for each
  /// block. An allocation for each block would be 1, one for each batch of them 0.06.
  var allocationSlack = 0.02
  /// The C library's heap grows in steps, which a thousand torrents or peers do not quite even out. In KiB.
  var memorySlack = 0.5
  /// Whether ratios are looked at, which come of times.
  var holdsRatios = true

  func findings(_ now: Report, against before: Report) -> [Finding] {
    var findings: [Finding] = []
    for old in before.outcomes {
      guard
        let new = now.outcomes.first(where: {
          $0.scenario == old.scenario && $0.client == old.client && $0.point == old.point
        })
      else { continue }
      for (name, (earlier, later)) in pairs(old, new)
      where later > earlier * (1 + tolerance) + slack(of: name, in: old.scenario) {
        findings.append(Finding(what: "\(old.scenario) \(old.client): \(name)", before: earlier, now: later))
      }
    }
    for old in before.ratios where holdsRatios {
      guard
        let new = now.ratios.first(where: {
          $0.scenario == old.scenario && $0.client == old.client && $0.other == old.other
            && $0.point == old.point
            && $0.name == old.name
        })
      else { continue }
      if new.value < old.value * (1 - tolerance) {
        let what = "\(old.scenario): \(old.name) of \(old.client) against \(old.other)"
        findings.append(Finding(what: what, before: old.value, now: new.value))
      }
    }
    return findings
  }

  private func slack(of name: String, in scenario: String) -> Double {
    switch name {
    case Self.systemCalls: scenario == "seed" ? sendCallSlack : callSlack
    case Self.allocations: allocationSlack
    case Self.copied, Self.reportedCopied: copySlack
    default: name.hasSuffix("KiB") ? memorySlack : countSlack
    }
  }

  private static let systemCalls = "system calls per block"
  private static let allocations = "allocations per block"
  private static let copied = "share of payload copied"
  private static let reportedCopied = "share of payload copied, as reported"

  /// The counts both outcomes have.
  private func pairs(_ old: Outcome, _ new: Outcome) -> [(String, (Double, Double))] {
    var pairs: [(String, (Double, Double))] = []
    func add(_ name: String, _ key: (Counts) -> Double?) {
      guard let before = old.counts.flatMap(key), let now = new.counts.flatMap(key) else { return }
      pairs.append((name, (before, now)))
    }
    add(Self.systemCalls, \.syscalls)
    add(Self.allocations, \.mallocs)
    add(Self.copied, \.copiedShare)
    add(Self.reportedCopied, \.reportedCopiedShare)
    for figure in old.figures where figure.kind == .count {
      guard let now = new.figures.first(where: { $0.name == figure.name && $0.unit == figure.unit }) else {
        continue
      }
      pairs.append((figure.name + ", " + figure.unit, (figure.value, now.value)))
    }
    return pairs
  }
}
