import TorrentModel

/// Writes messages. Keys go in the order in which they are written, which is theirs: canonical (BEP 3).
///
/// It is a plain array with helpers, and no ``BencodeWriter``: answering queries is this room's hot path.
struct KRPCWriter {
  var bytes: [UInt8] = []

  init(reserving capacity: Int) { bytes.reserveCapacity(capacity) }

  /// Bencode that is known when the program is written.
  @inline(__always)
  mutating func literal(_ text: String) { bytes.append(contentsOf: text.utf8) }

  mutating func append(_ part: Span<UInt8>) {
    bytes.append(addingCapacity: part.count) { output in
      for index in part.indices { output.append(part[index]) }
    }
  }

  mutating func decimal(_ value: Int) {
    if value < 10, value >= 0 {
      bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value))
    } else {
      bytes.append(contentsOf: String(value).utf8)
    }
  }

  mutating func integer(_ value: Int64) {
    bytes.append(UInt8(ascii: "i"))
    bytes.append(contentsOf: String(value).utf8)
    bytes.append(UInt8(ascii: "e"))
  }

  mutating func stringHeader(_ count: Int) {
    decimal(count)
    bytes.append(UInt8(ascii: ":"))
  }

  mutating func string(_ value: Span<UInt8>) {
    stringHeader(value.count)
    append(value)
  }

  mutating func point(_ id: NodeID) {
    literal("20:")
    id.append(to: &bytes)
  }

  mutating func transaction(_ transaction: Transaction) {
    literal("1:t4:")
    for shift in stride(from: UInt32(24), through: 0, by: -8) {
      bytes.append(UInt8(truncatingIfNeeded: transaction.rawValue >> shift))
    }
  }

  /// `1:v4:….`
  mutating func version(_ version: UInt32?) {
    guard let version else { return }
    literal("1:v4:")
    for shift in stride(from: UInt32(24), through: 0, by: -8) {
      bytes.append(UInt8(truncatingIfNeeded: version >> shift))
    }
  }
}

/// The four random bytes by which a reply finds its query.
struct Transaction: Hashable, Sendable {
  var rawValue: UInt32

  init(_ rawValue: UInt32) { self.rawValue = rawValue }

  init?(_ bytes: Span<UInt8>) {
    guard bytes.count == 4 else { return nil }
    rawValue = 0
    for index in 0..<4 { rawValue = rawValue << 8 | UInt32(bytes[index]) }
  }
}
