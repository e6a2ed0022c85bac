import ArgumentParser
import Foundation
import Logging

/// Options that every command has.
struct OutputOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Read settings from this JSON file; see 'spate help configuration'.", valueName: "file"),
    completion: .file(extensions: ["json"]))
  var config: String?

  @Flag(name: .shortAndLong, inversion: .prefixedNo, help: "Print errors only.")
  var quiet: Bool?

  @Flag(name: .shortAndLong, help: "Print more: once, what trackers say; twice, what peers do.")
  var verbose: Int
}

/// The option of commands that have a result for programs.
struct JSONOption: ParsableArguments {
  @Flag(inversion: .prefixedNo, help: "Print the result as one JSON document.")
  var json: Bool?
}

/// What a command works with: its settings, the console and the log.
struct CommandContext: Sendable {
  let layers: SettingsLayers
  let console: Console
  let logger: Logger
  let isQuiet: Bool

  init(
    _ command: String, _ options: OutputOptions, logsAreJSON: (SettingsLayers) throws(CommandFailure) -> Bool
  )
    throws(CommandFailure)
  {
    layers = try SettingsLayers.load(command: command, configuration: options.config)
    console = Console(environment: layers.environment)
    isQuiet = try layers.flag(options.quiet, .quiet)
    let verbose = try layers.count(options.verbose, .verbose)
    let level: Logger.Level =
      switch (isQuiet, verbose) {
      case (true, _): .error
      case (false, 0): .notice
      case (false, 1): .info
      default: .debug
      }
    let handler = ConsoleLogHandler(console: console, isJSON: try logsAreJSON(layers), level: level)
    logger = Logger(label: "spate") { _ in handler }
  }

  init(_ command: String, _ options: OutputOptions) throws(CommandFailure) {
    try self.init(command, options) { (_) throws(CommandFailure) in false }
  }
}
