import Glibc
import Bencode
import FuzzDriver

// Whatever is taken as bencode is walked to the last value, and what is canonical comes out of the writer as it went in.

func rewrite(_ node: borrowing BencodeNode, to writer: inout BencodeWriter) {
  if let integer = node.integer { writer.integer(integer) }
  if let string = node.string { writer.string(string) }
  if var elements = node.elements {
    writer.beginList()
    while let element = elements.next() { rewrite(element, to: &writer) }
    writer.end()
  }
  if var entries = node.entries {
    writer.beginDictionary()
    while let entry = entries.next() {
      writer.key(entry.key)
      rewrite(entry.value, to: &writer)
    }
    writer.end()
  }
}

/// Every value lies within the one it belongs to, and every key finds its own value.
func visit(_ node: borrowing BencodeNode, in range: Range<Int>) {
  precondition(range.lowerBound <= node.range.lowerBound && node.range.upperBound <= range.upperBound)
  _ = node.text
  if var elements = node.elements {
    var count = 0
    while let element = elements.next() {
      visit(element, in: node.range)
      count += 1
    }
    precondition(count == node.count)
  }
  if var entries = node.entries {
    while let entry = entries.next() {
      precondition(node.value(forKey: entry.key)?.range == entry.value.range)
      visit(entry.value, in: node.range)
    }
  }
}

// One parser for all inputs, as it is used: what one leaves behind must not reach the next.
nonisolated(unsafe) var parser = BencodeParser(
  limits: BencodeLimits(length: 1 << 16, depth: 32, values: 1 << 12, stringLength: 1 << 15))

exit(
  fuzz { bytes in
    do throws(BencodeError) {
      let root = try parser.parsePrefix(bytes.span)
      precondition(root.range.lowerBound == 0 && root.range.upperBound <= bytes.count)
      precondition(root.keyPath.isEmpty)
      visit(root, in: root.range)
      // Keys out of order would stop the writer by right.
      if root.firstUnsortedKey == nil {
        var writer = BencodeWriter()
        rewrite(root, to: &writer)
        precondition(writer.bytes.elementsEqual(bytes[root.range]))
      }
    } catch {
      precondition(error.offset >= 0 && error.offset <= bytes.count)
      precondition(!error.description.isEmpty && error.keyPath.utf8.count < 1000)
    }
  })
