import Engine
import Foundation
import Testing

@testable import SpateCommand

/// Options win over variables, these over the file; what is wrong is named.
@Suite struct SettingsTests {
  private func layers(
    _ environment: [String: String] = [:], file: String? = nil, command: String = "download"
  ) throws -> SettingsLayers {
    SettingsLayers(
      command: command, environment: environment,
      file: try file.map { try ConfigurationFile(Array($0.utf8), path: "c.json") })
  }

  private func failure(_ body: () throws -> Void) throws -> String {
    let failure = try #require(throws: CommandFailure.self, performing: body)
    #expect(failure.status == .usage)
    return failure.description
  }

  @Test func precedence() throws {
    let file = #"{"download-limit": "1K", "upload_limit": 2048, "seed": {"upload-limit": "3K"}}"#
    let option = ByteRate(argument: "9")
    func limit(_ option: ByteRate?, _ environment: [String: String], _ name: SettingName, _ command: String)
      throws
      -> Int?
    {
      try layers(environment, file: file, command: command).value(option, name)?.bytesPerSecond
    }
    let variable = ["SPATE_DOWNLOAD_LIMIT": "5"]
    #expect(try limit(option, variable, .downloadLimit, "download") == 9)
    #expect(try limit(nil, variable, .downloadLimit, "download") == 5)
    #expect(try limit(nil, ["SPATE_DOWNLOAD_LIMIT": ""], .downloadLimit, "download") == 1024)
    #expect(try limit(nil, [:], .uploadLimit, "download") == 2048)
    #expect(try limit(nil, [:], .uploadLimit, "seed") == 3072)
    #expect(try limit(nil, [:], .memory, "seed") == nil)
    #expect(try layers().value(nil as ByteRate?, .downloadLimit) == nil)
  }

  @Test func lists() throws {
    let file = #"{"tracker": ["http://a/announce", "http://b/announce"], "exclude": "a b"}"#
    #expect(
      try layers(file: file).values([], .tracker) as [String] == ["http://a/announce", "http://b/announce"])
    #expect(
      try layers(["SPATE_TRACKER": " x \t y "], file: file).values([], .tracker) as [String] == ["x", "y"])
    #expect(try layers(["SPATE_TRACKER": "x"], file: file).values(["z"], .tracker) as [String] == ["z"])
    // One text in the file is one pattern, spaces and all.
    let patterns: [GlobPattern] = try layers(file: file).values([], .exclude)
    #expect(patterns.map(\.text) == ["a b"])
    #expect(try failure { _ = try layers(file: file).value(nil as String?, .tracker) }.contains("one value"))
  }

  @Test(arguments: [
    ("true", true), ("1", true), ("YES", true), ("on", true), ("false", false), ("0", false), ("no", false),
    ("Off", false),
  ])
  func switches(_ text: String, _ value: Bool) throws {
    #expect(try layers(["SPATE_SEQUENTIAL": text]).flag(nil, .sequential) == value)
    // The option wins in both directions.
    #expect(try layers(["SPATE_SEQUENTIAL": text]).flag(!value, .sequential) == !value)
    #expect(try layers(file: "{\"sequential\": \(value)}").flag(nil, .sequential) == value)
  }

  @Test func counts() throws {
    #expect(try layers(["SPATE_VERBOSE": "2"]).count(0, .verbose) == 2)
    #expect(try layers(["SPATE_VERBOSE": "2"]).count(1, .verbose) == 1)
    #expect(try layers(file: #"{"verbose": true}"#).count(0, .verbose) == 1)
    #expect(
      try failure { _ = try layers(["SPATE_VERBOSE": "x"]).count(0, .verbose) }.contains("SPATE_VERBOSE"))
  }

  @Test(arguments: [
    (#"{"downlaod-limit": "1M"}"#, "'downlaod-limit'"), (#"{"seed": {"sede": 1}}"#, "'seed.sede'"),
    (#"{"seed": 5}"#, "'seed'"), (#"{"dir": {"a": 1}}"#, "'dir'"), (#"{"dir": null}"#, "'dir'"),
    (#"{"tracker": ["a", 1, {}]}"#, "'tracker'"), ("[1]", "JSON object"), ("{", "JSON"), ("", "JSON"),
    ("nonsense", "JSON"),
    (#"{"upload-limit": 1, "upload_limit": 2}"#, "twice"), (#"{"a\u001b[2Jb": 1}"#, "'a?[2Jb'"),
  ])
  func refusesFiles(_ text: String, _ word: String) throws {
    let told = try failure { _ = try layers(file: text) }
    #expect(told.contains(word) && told.contains("c.json"), "\(told)")
    #expect(!told.contains("\n"))
  }

  @Test(arguments: [
    (["SPATE_MEMORY": "much"], nil, "SPATE_MEMORY: 'much' is not a size"),
    ([:], #"{"memory": "much"}"#, "'memory' in 'c.json': 'much'"),
    ([:], #"{"memory": true}"#, "'true' is not a size"),
    ([:], #"{"memory": -1}"#, "'-1'"),
  ])
  func refusesValues(_ environment: [String: String], _ file: String?, _ words: String) throws {
    let told = try failure { _ = try layers(environment, file: file).value(nil as ByteCount?, .memory) }
    #expect(told.contains(words), "\(told)")
  }

  @Test func findsTheFile() throws {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "spate-settings-\(UInt64.random(in: 0 ... .max))")
    defer { try? FileManager.default.removeItem(at: folder) }
    let config = folder.appending(path: "spate/config.json")
    let environment = ["XDG_CONFIG_HOME": folder.path, "HOME": "/nonexistent"]
    #expect(try ConfigurationFile.load(named: nil, environment: environment) == nil)
    try FileManager.default.createDirectory(
      at: config.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(#"{"dir": "/here"}"#.utf8).write(to: config)
    #expect(
      try ConfigurationFile.load(named: nil, environment: environment)?.texts(.dir, for: "download") == [
        "/here"
      ])
    // Relative folders in XDG variables are to be ignored.
    #expect(Folders.state(["XDG_STATE_HOME": "here", "HOME": "/h"]) == "/h/.local/state")
    // A file that is named must be there.
    let missing = try #require(throws: CommandFailure.self) {
      _ = try ConfigurationFile.load(named: folder.path + "/none.json", environment: [:])
    }
    #expect(missing.status == .fileInputOutput && missing.description.contains("none.json"))
    let named = folder.appending(path: "other.json")
    try Data(#"{"dir": "/there"}"#.utf8).write(to: named)
    for load in [
      try ConfigurationFile.load(named: named.path, environment: environment),
      try ConfigurationFile.load(
        named: nil, environment: environment.merging(["SPATE_CONFIG": named.path]) { $1 }),
    ] {
      #expect(load?.texts(.dir, for: "seed") == ["/there"])
    }
  }

  @Test func namesOfVariables() {
    #expect(SettingName.downloadLimit.environmentName == "SPATE_DOWNLOAD_LIMIT")
    #expect(SettingName.dir.environmentName == "SPATE_DIR")
    for name in SettingName.allCases {
      #expect(SettingName(key: name.rawValue) == name)
      #expect(SettingName(key: name.rawValue.replacing("-", with: "_")) == name)
    }
  }

  /// Every option of every command can be set in the configuration, but for those that name what a single run is about;
  /// and every setting is an option.
  @Test func everyOptionIsASetting() throws {
    struct Dump: Decodable {
      struct Command: Decodable {
        let subcommands: [Command]?
        let arguments: [Argument]?
      }
      struct Argument: Decodable {
        struct Name: Decodable {
          let kind: String
          let name: String
        }
        let names: [Name]?
      }
      let command: Command
    }
    let text = try #require(
      { () -> String? in
        guard case .text(let text)? = try? CommandLineTool.parse(["--experimental-dump-help"]) else {
          return nil
        }
        return text
      }())
    let root = try JSONDecoder().decode(Dump.self, from: Data(text.utf8)).command
    func options(_ command: Dump.Command) -> Set<String> {
      let own = (command.arguments ?? []).flatMap { $0.names ?? [] }.filter { $0.kind == "long" }.map(\.name)
      return (command.subcommands ?? []).reduce(into: Set(own)) { $0.formUnion(options($1)) }
    }
    let all = options(root)
    let settings = Set(SettingName.allCases.map(\.rawValue))
    let ofOneRun: Set<String> = [
      "config", "input-file", "output", "name", "force", "help", "version", "show-files", "metadata-only",
      // Of `spate dht`: what is asked for.
      "torrent", "toward", "key-file", "raw", "salt", "bencode", "key", "seq", "cas", "count", "seed",
    ]
    // The other halves of switches.
    let halves: Set<String> = ["use-trackers", "date"]
    let negations = all.filter { name in
      name.hasPrefix("no-") && all.contains(String(name.dropFirst(3))) && name != "no-date"
    }
    #expect(settings.subtracting(all) == [], "settings without an option")
    #expect(
      all.subtracting(settings).subtracting(ofOneRun).subtracting(halves).subtracting(negations) == [],
      "options that cannot be set")
  }
}
