import Bencode

/// The bytes of a torrent of 4 GiB in pieces of 1 MiB, of one with 1,000 files, and of a tracker's dictionary reply.
private enum Sample {
  static let oneFile = torrent(files: 0)
  static let manyFiles = torrent(files: 1000)

  static let reply: [UInt8] = {
    var writer = BencodeWriter()
    writer.beginDictionary()
    writer.entry("complete", integer: 100)
    writer.entry("incomplete", integer: 7)
    writer.entry("interval", integer: 1800)
    writer.entry("peers", string: [UInt8](repeating: 10, count: 50 * 6))
    writer.end()
    return writer.bytes
  }()

  private static func torrent(files: Int) -> [UInt8] {
    var writer = BencodeWriter()
    writer.beginDictionary()
    writer.entry("announce", string: "http://tracker.example/announce")
    writer.key("info")
    writer.beginDictionary()
    if files > 0 {
      writer.key("files")
      writer.beginList()
      for file in 0..<files {
        writer.beginDictionary()
        writer.entry("length", integer: 1_000_000 + file)
        writer.key("path")
        writer.beginList()
        writer.string("folder \(file / 100)")
        writer.string("file \(file).bin")
        writer.end()
        writer.end()
      }
      writer.end()
    } else {
      writer.entry("length", integer: 4 << 30)
    }
    writer.entry("name", string: "sample")
    writer.entry("piece length", integer: 1 << 20)
    writer.entry("pieces", string: [UInt8](repeating: 7, count: 4096 * 20))
    writer.end()
    writer.end()
    return writer.bytes
  }
}

func benchmarkBencode(_ stopwatch: Stopwatch) {
  for (name, bytes) in [
    ("torrent", Sample.oneFile), ("torrent-1000-files", Sample.manyFiles), ("reply", Sample.reply),
  ] {
    var parser = BencodeParser(limits: BencodeLimits(length: 64 << 20, depth: 64))
    stopwatch.measure("bencode.parse.\(name)", bytes: bytes.count) { count in
      for _ in 0..<count {
        guard let node = try? parser.parse(bytes.span) else { preconditionFailure("the sample is bencode") }
        keep(node.count)
      }
    }
  }
  var writer = BencodeWriter(reserving: 4096)
  stopwatch.measure("bencode.write.reply") { count in
    for _ in 0..<count {
      writer.removeAll()
      writer.beginDictionary()
      writer.entry("complete", integer: 100)
      writer.entry("incomplete", integer: 7)
      writer.entry("interval", integer: 1800)
      writer.end()
      keep(writer.bytes.count)
    }
  }
}
