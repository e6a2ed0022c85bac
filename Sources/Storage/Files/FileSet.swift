/// A set of a torrent's files, one bit each.
struct FileSet: Sendable, Equatable {
  private var words: [UInt64]

  init(capacity: Int) { words = [UInt64](repeating: 0, count: (capacity + 63) / 64) }

  subscript(file: Int) -> Bool {
    get { words[file >> 6] & 1 << UInt64(file & 63) != 0 }
    set {
      let mask: UInt64 = 1 << UInt64(file & 63)
      if newValue { words[file >> 6] |= mask } else { words[file >> 6] &= ~mask }
    }
  }

  var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

  mutating func formUnion(_ other: FileSet) {
    for i in words.indices { words[i] |= other.words[i] }
  }

  mutating func removeAll() {
    for i in words.indices { words[i] = 0 }
  }

  /// The members, ascending.
  var members: [Int] {
    var members: [Int] = []
    for i in words.indices {
      var word = words[i]
      while word != 0 {
        members.append(i * 64 + word.trailingZeroBitCount)
        word &= word - 1
      }
    }
    return members
  }
}
