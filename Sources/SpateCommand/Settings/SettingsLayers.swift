import Foundation

/// Where parameters come from: options win over `SPATE_…` variables, these over the configuration file.
struct SettingsLayers: Sendable {
  let command: String
  let environment: [String: String]
  let file: ConfigurationFile?

  init(command: String, environment: [String: String], file: ConfigurationFile?) {
    self.command = command
    self.environment = environment
    self.file = file
  }

  /// - Parameter configuration: the file named by `--config`.
  static func load(command: String, configuration: String?) throws(CommandFailure) -> SettingsLayers {
    let environment = ProcessInfo.processInfo.environment
    return SettingsLayers(
      command: command, environment: environment,
      file: try .load(named: configuration, environment: environment))
  }

  /// The setting's texts below the options, and where they come from. An empty variable counts as none.
  private func texts(_ name: SettingName, isList: Bool) -> (texts: [String], place: String)? {
    if let text = environment[name.environmentName], !text.isEmpty {
      let texts = isList ? text.split(whereSeparator: \.isWhitespace).map(String.init) : [text]
      return (texts, name.environmentName)
    }
    guard let file, let texts = file.texts(name, for: command) else { return nil }
    return (texts, "'\(name.rawValue)' in '\(Printable.text(file.path))'")
  }

  private static func parse<Value: SettingValue>(
    _ text: String, from place: String, as type: Value.Type
  ) throws(CommandFailure) -> Value {
    guard let value = Value(argument: text) else {
      throw CommandFailure(.usage, "\(place): '\(Printable.text(text))' is not \(Value.form)")
    }
    return value
  }

  func value<Value: SettingValue>(_ option: Value?, _ name: SettingName) throws(CommandFailure) -> Value? {
    if let option { return option }
    guard let (texts, place) = texts(name, isList: false) else { return nil }
    guard texts.count == 1 else {
      throw CommandFailure(.usage, "\(place): one value is wanted, and there are \(texts.count)")
    }
    return try Self.parse(texts[0], from: place, as: Value.self)
  }

  /// A setting that may be given several times. Values in a variable are separated by white space.
  func values<Value: SettingValue>(_ options: [Value], _ name: SettingName) throws(CommandFailure) -> [Value]
  {
    if !options.isEmpty { return options }
    guard let (texts, place) = texts(name, isList: true) else { return [] }
    var values: [Value] = []
    for text in texts { values.append(try Self.parse(text, from: place, as: Value.self)) }
    return values
  }

  func flag(
    _ option: Bool?, _ name: SettingName, default otherwise: Bool = false
  ) throws(CommandFailure) -> Bool {
    if let option { return option }
    guard let (texts, place) = texts(name, isList: false) else { return otherwise }
    switch texts.count == 1 ? texts[0].lowercased() : "" {
    case "1", "true", "yes", "on": return true
    case "0", "false", "no", "off": return false
    default:
      throw CommandFailure(
        .usage, "\(place): '\(Printable.text(texts.joined(separator: " ")))' is neither true nor false")
    }
  }

  /// How often a switch such as `-v` is given.
  func count(_ option: Int, _ name: SettingName) throws(CommandFailure) -> Int {
    if option > 0 { return option }
    guard let (texts, place) = texts(name, isList: false) else { return 0 }
    if texts.count == 1, let number = Int(texts[0]), (0...9).contains(number) { return number }
    if texts.count == 1, ["true", "false"].contains(texts[0]) { return texts[0] == "true" ? 1 : 0 }
    throw CommandFailure(
      .usage, "\(place): '\(Printable.text(texts.joined(separator: " ")))' is not a number from 0 to 9")
  }
}
