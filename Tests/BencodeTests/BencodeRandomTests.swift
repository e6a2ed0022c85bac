import Testing
import TorrentModel

@testable import Bencode

/// A value as a test draws it.
indirect enum Drawn {
  case integer(Int64)
  case string([UInt8])
  case list([Drawn])
  case dictionary([(key: [UInt8], value: Drawn)])

  static func draw(depth: Int, using draws: inout SeededRandom) -> Drawn {
    switch Int.random(in: 0..<(depth == 0 ? 2 : 4), using: &draws) {
    case 0:
      let value = Int64(bitPattern: draws.next())
      return .integer(value >> Int64.random(in: 0..<64, using: &draws))
    case 1: return .string(string(&draws))
    case 2:
      return .list(
        (0..<Int.random(in: 0..<5, using: &draws)).map { _ in draw(depth: depth - 1, using: &draws) })
    default:
      var keys: Set<[UInt8]> = []
      for _ in 0..<Int.random(in: 0..<6, using: &draws) { keys.insert(string(&draws)) }
      return .dictionary(
        keys.sorted { $0.lexicographicallyPrecedes($1) }.map {
          ($0, draw(depth: depth - 1, using: &draws))
        })
    }
  }

  private static func string(_ draws: inout SeededRandom) -> [UInt8] {
    // Few letters, so that keys share beginnings; lengths on both sides of one and two digits.
    (0..<Int.random(in: 0..<14, using: &draws)).map { _ in
      [0x61, 0x62, 0x65, 0x3a, 0xff].randomElement(using: &draws)!
    }
  }

  func write(to writer: inout BencodeWriter) {
    switch self {
    case .integer(let value): writer.integer(value)
    case .string(let value): writer.string(value)
    case .list(let elements):
      writer.beginList()
      for element in elements { element.write(to: &writer) }
      writer.end()
    case .dictionary(let entries):
      writer.beginDictionary()
      for entry in entries {
        writer.key(entry.key.span)
        entry.value.write(to: &writer)
      }
      writer.end()
    }
  }
}

/// Writes what a node holds, from the outside in, and checks what must hold of every node on the way.
func rewrite(_ node: borrowing BencodeNode, to writer: inout BencodeWriter) {
  switch node.kind {
  case .integer: writer.integer(node.integer ?? 0)
  case .string: writer.string(node.stringBytes ?? [])
  case .list:
    writer.beginList()
    var count = 0
    if var elements = node.elements {
      while let element = elements.next() {
        rewrite(element, to: &writer)
        count += 1
      }
    }
    let expected = node.count
    #expect(count == expected)
    writer.end()
  case .dictionary:
    writer.beginDictionary()
    if var entries = node.entries {
      while let entry = entries.next() {
        writer.key(entry.key)
        let (found, walked) = (node.value(forKey: entry.key)?.range, entry.value.range)
        #expect(found == walked)
        rewrite(entry.value, to: &writer)
      }
    }
    writer.end()
  }
}

@Suite struct BencodeDrawnTests {
  @Test(arguments: 0..<300 as Range<UInt64>)
  func `what is written is read back`(seed: UInt64) throws {
    var draws = SeededRandom(seed: seed)
    var writer = BencodeWriter()
    Drawn.draw(depth: 6, using: &draws).write(to: &writer)
    let bytes = writer.bytes
    var parser = BencodeParser(limits: BencodeLimits(length: 1 << 20, depth: 7))
    let root = try parser.parse(bytes.span)
    var again = BencodeWriter()
    rewrite(root, to: &again)
    #expect(again.bytes == bytes, "seed \(seed)")
  }

  @Test(arguments: 0..<300 as Range<UInt64>)
  func `damaged input is refused or still says the same when canonical`(seed: UInt64) {
    var draws = SeededRandom(seed: seed)
    var writer = BencodeWriter()
    Drawn.draw(depth: 5, using: &draws).write(to: &writer)
    var parser = BencodeParser(limits: BencodeLimits(length: 1 << 20, depth: 6))
    for _ in 0..<50 {
      var bytes = writer.bytes
      for _ in 0..<Int.random(in: 1...3, using: &draws) where !bytes.isEmpty {
        let place = bytes.indices.randomElement(using: &draws)!
        switch Int.random(in: 0..<4, using: &draws) {
        case 0: bytes[place] = Array("0123456789idle:-".utf8).randomElement(using: &draws)!
        case 1: bytes.remove(at: place)
        case 2: bytes.insert(UInt8.random(in: 0...255, using: &draws), at: place)
        default: bytes.removeLast(bytes.count - place)
        }
      }
      do {
        let root = try parser.parse(bytes.span)
        guard root.firstUnsortedKey == nil else { continue }
        var again = BencodeWriter()
        rewrite(root, to: &again)
        #expect(again.bytes == bytes, "seed \(seed)")
      } catch {
        #expect(error.offset >= 0 && error.offset <= bytes.count)
        continue
      }
    }
  }
}
