import Bencode
import Storage

/// What the state file of the DHT gave. Its functions wait for the disk: they are not for loops.
struct DHTState: Sendable {
  /// What ``DHTNode/savedState(now:)`` gave once; nil when there is nothing.
  var bytes: [UInt8]?
  /// The file, if it is ours to replace.
  var file: StateFile?
  /// Why it could not be read.
  var problem: String?

  static let limit = 256 << 10

  /// - Parameter isVisit: the file stays whose it is, and is written only if there is none yet.
  static func load(_ path: String, isVisit: Bool) -> DHTState {
    var file = StateFile(path: path, claiming: !isVisit)
    var state = DHTState()
    do throws(StorageFailure) { state.bytes = try file.read(limit: limit) } catch {
      state.problem = error.description
    }
    if isVisit, state.bytes == nil, state.problem == nil { file = StateFile(path: path, claiming: true) }
    if file.isOwned { state.file = file }
    // Two nodes with one id would hide each other.
    if state.file == nil { state.bytes = state.bytes.flatMap(withoutIDs) }
    return state
  }

  /// Returns why it could not be written.
  static func save(_ bytes: [UInt8], to file: StateFile) -> String? {
    do throws(StorageFailure) { try file.replace(with: bytes) } catch { return error.description }
    return nil
  }

  /// The saved nodes without our own ids: for a node that begins from them while another has the ids. nil if the bytes
  /// are something else.
  static func withoutIDs(_ bytes: [UInt8]) -> [UInt8]? {
    var parser = BencodeParser(limits: BencodeLimits(length: limit, depth: 2, values: 64))
    guard let root = try? parser.parse(bytes.span), root.kind == .dictionary else { return nil }
    var writer = BencodeWriter(reserving: bytes.count)
    writer.beginDictionary()
    for key in ["nodes", "nodes6"] {
      if let nodes = root[key]?.string { writer.entry(key, string: nodes) }
    }
    writer.end()
    return writer.bytes
  }
}
