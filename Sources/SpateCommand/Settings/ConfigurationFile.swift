import Foundation

/// The configuration file: one JSON object whose keys are long names of options. A key that names a command holds an
/// object of settings for that command only.
///
/// ```json
/// { "dir": "/srv/downloads", "download-limit": "20M", "tracker": ["udp://t.example:6969/announce"],
///   "seed": { "upload-limit": "5M" } }
/// ```
struct ConfigurationFile: Sendable {
  /// A setting's values as texts; a switch is "true" or "false".
  typealias Values = [SettingName: [String]]

  let path: String
  private let common: Values
  private let byCommand: [String: Values]

  static let sizeLimit = 1 << 20
  /// Commands that may have settings of their own. `tracker` is not among them, as `--tracker` is an option: its settings
  /// are `port`, `interval` and `allow`, which no other command has.
  static let commands: Set<String> = ["download", "seed", "create", "show", "verify", "scrape"]

  init(_ bytes: [UInt8], path: String) throws(CommandFailure) {
    self.path = path
    let place = "configuration '\(Printable.text(path))'"
    let root: any Sendable
    do {
      root = try JSONValue.parse(bytes)
    } catch {
      throw CommandFailure(.usage, "\(place) is not valid JSON: \(error.description)")
    }
    guard let object = root as? [String: any Sendable] else {
      throw CommandFailure(.usage, "\(place) must be a JSON object such as {\"dir\": \"/srv/downloads\"}")
    }
    var byCommand: [String: Values] = [:]
    var rest = object
    for command in Self.commands {
      guard let section = object[command] as? [String: any Sendable] else { continue }
      byCommand[command] = try Self.values(section, place: place, below: command + ".")
      rest[command] = nil
    }
    self.byCommand = byCommand
    common = try Self.values(rest, place: place, below: "")
  }

  private static func values(
    _ object: [String: any Sendable], place: String, below prefix: String
  ) throws(CommandFailure) -> Values {
    var values: Values = [:]
    for (key, value) in object.sorted(by: { $0.key < $1.key }) {
      let shown = Printable.text(prefix + key)
      guard let name = SettingName(key: key) else {
        throw CommandFailure(
          .usage,
          "\(place): there is no setting '\(shown)'; keys are long names of options, such as \"download-limit\""
        )
      }
      guard let texts = JSONValue.texts(value) else {
        throw CommandFailure(
          .usage, "\(place): '\(shown)' must be a text, a number, true, false, or a list of texts")
      }
      guard values.updateValue(texts, forKey: name) == nil else {
        throw CommandFailure(.usage, "\(place): '\(shown)' is there twice")
      }
    }
    return values
  }

  /// What the file says of a setting: for this command, or else for all.
  func texts(_ name: SettingName, for command: String) -> [String]? {
    byCommand[command]?[name] ?? common[name]
  }

  // MARK: Finding it

  /// The file named by the user, or else the default one if it is there.
  static func load(named: String?, environment: [String: String]) throws(CommandFailure) -> ConfigurationFile?
  {
    if let named = named ?? environment["SPATE_CONFIG"].flatMap({ $0.isEmpty ? nil : $0 }) {
      return try ConfigurationFile(
        FileReading.read(named, limit: sizeLimit, what: "configuration"), path: named)
    }
    guard let folder = Folders.configuration(environment) else { return nil }
    let path = folder + "/spate/config.json"
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    return try ConfigurationFile(FileReading.read(path, limit: sizeLimit, what: "configuration"), path: path)
  }
}

/// The user's folders (XDG Base Directory Specification): relative paths in these variables are to be ignored.
enum Folders {
  static func configuration(_ environment: [String: String]) -> String? {
    folder("XDG_CONFIG_HOME", else: ".config", environment)
  }

  static func state(_ environment: [String: String]) -> String? {
    folder("XDG_STATE_HOME", else: ".local/state", environment)
  }

  private static func folder(_ name: String, else below: String, _ environment: [String: String]) -> String? {
    if let path = environment[name], path.hasPrefix("/") { return path }
    guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
    return home + "/" + below
  }
}

/// JSON of a configuration file as texts.
enum JSONValue {
  struct Malformed: Error, CustomStringConvertible {
    let description: String
  }

  static func parse(_ bytes: [UInt8]) throws(Malformed) -> any Sendable {
    do {
      return try JSONDecoder().decode(Decoded.self, from: Data(bytes)).value
    } catch let DecodingError.dataCorrupted(context) {
      let underlying = (context.underlyingError as NSError?)?.userInfo["NSDebugDescription"] as? String
      throw Malformed(description: Printable.text(underlying ?? context.debugDescription))
    } catch {
      throw Malformed(description: "a value of a kind that has no place there")
    }
  }

  /// One text for a single value, several for a list; nil for what is neither.
  static func texts(_ value: any Sendable) -> [String]? {
    if let list = value as? [any Sendable] {
      let texts = list.compactMap { text($0) }
      return texts.count == list.count ? texts : nil
    }
    return text(value).map { [$0] }
  }

  private static func text(_ value: any Sendable) -> String? {
    switch value {
    case let text as String: text
    case let flag as Bool: flag ? "true" : "false"
    case let number as Int: String(number)
    case let number as Double: String(number)
    default: nil
    }
  }

  private struct Null: Sendable {}

  private struct Decoded: Decodable {
    let value: any Sendable

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      // Booleans first, as numbers are not taken for them; then numbers that are whole.
      if let flag = try? container.decode(Bool.self) {
        value = flag
      } else if let number = try? container.decode(Int.self) {
        value = number
      } else if let number = try? container.decode(Double.self) {
        value = number
      } else if let text = try? container.decode(String.self) {
        value = text
      } else if let list = try? container.decode([Decoded].self) {
        value = list.map(\.value)
      } else if let object = try? container.decode([String: Decoded].self) {
        value = object.mapValues(\.value)
      } else {
        value = Null()
      }
    }
  }
}
