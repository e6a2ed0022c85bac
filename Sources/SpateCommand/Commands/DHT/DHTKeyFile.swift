import Engine
import Logging
import SystemPackage

/// A file with the secret of a pair of keys: 64 hexadecimal digits.
enum DHTKeyFile {
  /// Reads the file, or makes one that only its owner can read.
  static func load(_ path: String, _ logger: Logger) throws(CommandFailure) -> DHTKeyPair {
    guard !path.isEmpty else { throw CommandFailure(.usage, "--key-file: the name of the file is empty") }
    if let keys = try create(path) {
      logger.notice(
        "made the key file '\(path)' with the public key \(HexText.of(keys.publicKey)); whoever has it can replace what it signed"
      )
      return keys
    }
    let bytes = try FileReading.read(path, limit: 256, what: "key file")
    let text = String(decoding: bytes, as: UTF8.self)
    guard let word = text.split(whereSeparator: \.isWhitespace).first,
      let seed = HexText.bytes(String(word)), seed.count == DHTKeyPair.seedLength
    else {
      throw CommandFailure(
        .usage,
        "the key file '\(Printable.text(path))' does not begin with \(2 * DHTKeyPair.seedLength) hexadecimal digits"
      )
    }
    do { return try DHTKeyPair(seed: seed) } catch { throw CommandFailure(error) }
  }

  /// Returns nil when there is a file already.
  private static func create(_ path: String) throws(CommandFailure) -> DHTKeyPair? {
    do {
      let file = try FileDescriptor.open(
        FilePath(path), .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
        permissions: .ownerReadWrite)
      return try file.closeAfter {
        let keys = try DHTKeyPair.generate()
        try file.writeAll((HexText.of(keys.seed) + "\n").utf8)
        return keys
      }
    } catch Errno.fileExists {
      return nil
    } catch let failure as DHTFailure {
      throw CommandFailure(failure)
    } catch {
      throw CommandFailure(
        SystemReason.status(of: error),
        "cannot make the key file '\(Printable.text(path))': \(SystemReason.of(error))")
    }
  }
}
