import Testing

@testable import Bencode

@Suite struct BencodeWriterTests {
  @Test func `writes the examples of BEP 3`() {
    var writer = BencodeWriter()
    writer.beginDictionary()
    writer.entry("cow", string: "moo")
    writer.key("spam")
    writer.beginList()
    writer.string("a")
    writer.string([UInt8(ascii: "b")])
    writer.end()
    writer.end()
    #expect(writer.bytes == latin1("d3:cow3:moo4:spaml1:a1:bee"))
    #expect(writer.isComplete)
  }

  @Test func `writes integers of every size`() {
    let cases: [(Int64, String)] = [
      (0, "i0e"), (7, "i7e"), (-3, "i-3e"), (10, "i10e"), (.max, "i9223372036854775807e"),
      (.min, "i-9223372036854775808e"),
    ]
    for (value, text) in cases {
      var writer = BencodeWriter()
      writer.integer(value)
      #expect(writer.bytes == latin1(text))
    }
    var writer = BencodeWriter()
    writer.integer(UInt64.max)
    #expect(writer.bytes == latin1("i18446744073709551615e"))
  }

  @Test func `nests, takes encoded values and starts over`() {
    var writer = BencodeWriter(reserving: 64)
    writer.beginDictionary()
    #expect(!writer.isComplete)
    writer.key("")
    writer.encoded(latin1("li1ee").span)
    writer.key("a")
    writer.beginDictionary()
    writer.entry("z", integer: 1)
    writer.end()
    writer.entry("aa", string: latin1("\u{ff}").span)
    writer.end()
    #expect(writer.bytes == latin1("d0:li1ee1:ad1:zi1ee2:aa1:\u{ff}e"))
    writer.removeAll()
    #expect(!writer.isComplete)
    writer.beginList()
    writer.end()
    #expect(writer.bytes == latin1("le"))
  }

  @Test func `stops a program that writes keys out of order`() async {
    await #expect(processExitsWith: .failure) {
      var writer = BencodeWriter()
      writer.beginDictionary()
      writer.entry("b", integer: 1)
      writer.entry("a", integer: 1)
    }
    await #expect(processExitsWith: .failure) {
      var writer = BencodeWriter()
      writer.beginDictionary()
      writer.entry("a", integer: 1)
      writer.entry("a", integer: 1)
    }
    await #expect(processExitsWith: .failure) {
      var writer = BencodeWriter()
      writer.beginDictionary()
      writer.key("a")
      writer.end()
    }
    await #expect(processExitsWith: .failure) {
      var writer = BencodeWriter()
      writer.integer(1)
      writer.integer(1)
    }
  }
}
