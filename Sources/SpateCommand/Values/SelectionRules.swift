import Engine

/// Which files of a torrent the user wants: by number and by pattern.
struct SelectionRules: Sendable {
  var numbers: [FileNumbers] = []
  var include: [GlobPattern] = []
  var exclude: [GlobPattern] = []

  var takesEverything: Bool { numbers.isEmpty && include.isEmpty && exclude.isEmpty }

  /// The files by their number in the torrent from 0; nil for all. A file is taken if a number or a pattern to include
  /// names it (or if there are neither), and no pattern to exclude does.
  ///
  /// Users count files from 1, and do not count padding.
  func select(from info: TorrentInfo) throws(CommandFailure) -> Set<Int>? {
    guard !takesEverything else { return nil }
    var selected: Set<Int> = []
    var number = 0
    let takesAll = numbers.isEmpty && include.isEmpty
    let folder = info.isSingleFile ? nil : info.name
    for file in info.files where !file.isPadding {
      number += 1
      let path = info.isSingleFile ? info.name : file.path
      let isTaken =
        takesAll || numbers.contains { $0.contains(number) }
        || include.contains { $0.matches(path, in: folder) }
      guard isTaken, !exclude.contains(where: { $0.matches(path, in: folder) }) else { continue }
      selected.insert(file.index)
    }
    for list in numbers {
      if let wrong = list.firstNumber(above: number) {
        throw CommandFailure(
          .usage,
          "--select-file \(wrong): '\(Printable.text(info.name))' has \(number) file\(number == 1 ? "" : "s"); 'spate show' lists them"
        )
      }
    }
    guard !selected.isEmpty else {
      throw CommandFailure(
        .usage,
        "no file of '\(Printable.text(info.name))' is selected; 'spate show' lists its \(number) file\(number == 1 ? "" : "s")"
      )
    }
    return selected
  }
}
