/// Sampled call stacks, outermost frame first, with their weights.
struct Stacks: Equatable {
  private(set) var weights: [[String]: Int] = [:]

  var total: Int { weights.values.reduce(0, +) }

  private mutating func add(_ frames: [String], _ weight: Int) {
    guard !frames.isEmpty else { return }
    weights[frames, default: 0] += weight
  }

  /// Output of `perf script -F comm,ip,sym`: a line with the command, a line for each frame from the innermost out,
  /// an empty line.
  init(perfScript text: String) {
    var command = ""
    var frames: [String] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.allSatisfy({ $0 == " " || $0 == "\t" }) {
        if !frames.isEmpty { add([command] + frames.reversed(), 1) }
        frames.removeAll()
      } else if line.first == " " || line.first == "\t" {
        let words = line.drop { $0 == " " || $0 == "\t" }.split(separator: " ", maxSplits: 1)
        let symbol = words.count > 1 ? String(words[1]) : "[unknown]"
        frames.append(Self.clean(symbol))
      } else {
        command = line.split(separator: " ").first.map(String.init) ?? "?"
      }
    }
    if !frames.isEmpty { add([command] + frames.reversed(), 1) }
  }

  /// A callgrind file recorded with `--separate-callers`: a context is `function'caller'caller's caller…`, and the
  /// lines below it that are not calls are its own cost.
  init(callgrind text: String) {
    var names: [Substring: String] = [:]
    var context: [String] = []
    var skips = false
    for line in text.split(separator: "\n") {
      if line.hasPrefix("fn=") {
        let reference = line.dropFirst(3)
        guard let close = reference.firstIndex(of: ")") else { continue }
        let id = reference[...close]
        let rest = reference[reference.index(after: close)...]
        if !rest.isEmpty { names[id] = String(rest.drop { $0 == " " }) }
        context = (names[id] ?? "?").split(separator: "'").map { Self.clean(String($0)) }.reversed()
      } else if line.hasPrefix("cfn=") {
        let reference = line.dropFirst(4)
        guard let close = reference.firstIndex(of: ")") else { continue }
        let rest = reference[reference.index(after: close)...]
        if !rest.isEmpty { names[reference[...close]] = String(rest.drop { $0 == " " }) }
      } else if line.hasPrefix("calls=") {
        skips = true  // the next line is the cost of the callee, counted there
      } else if let first = line.first, first.isNumber || first == "+" || first == "-" || first == "*" {
        let words = line.split(separator: " ")
        if !skips, words.count > 1, let cost = Int(words[1]) { add(context, cost) }
        skips = false
      }
    }
  }

  /// `outer;inner;innermost weight` lines.
  init(folded text: String) {
    for line in text.split(separator: "\n") {
      guard let space = line.lastIndex(of: " "), let weight = Int(line[line.index(after: space)...]) else {
        continue
      }
      add(line[..<space].split(separator: ";").map(String.init), weight)
    }
  }

  var folded: String {
    weights.map { "\($0.key.joined(separator: ";")) \($0.value)" }.sorted().joined(separator: "\n") + "\n"
  }

  private static func clean(_ symbol: String) -> String {
    // The offset perf adds, and what would break the folded format.
    let base = symbol.split(separator: "+0x").first.map(String.init) ?? symbol
    return base.replacing(";", with: ":")
  }

  /// The functions that the most weight fell on, with their own and their total share.
  func top(_ count: Int) -> String {
    var own: [String: Int] = [:]
    var whole: [String: Int] = [:]
    for (frames, weight) in weights {
      if let last = frames.last { own[last, default: 0] += weight }
      for frame in Set(frames) { whole[frame, default: 0] += weight }
    }
    var table = Table(["function", "", "own %", "total %"])
    let all = Double(max(1, total))
    for (name, weight) in own.sorted(by: { ($0.value, $1.key) > ($1.value, $0.key) }).prefix(count) {
      let share = Double(whole[name] ?? 0) / all * 100
      table.add([String(name.prefix(90)), "", Table.figure(Double(weight) / all * 100), Table.figure(share)])
    }
    return table.text
  }
}
