import ArgumentParser
import Foundation

/// A command of `spate`: does its work and says how it ended.
protocol SpateSubcommand: ParsableCommand, Sendable {
  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus
}

struct Spate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "spate", abstract: "Downloads and seeds torrents, fast.",
    discussion: """
      Results go to standard output, progress and messages to standard error. Every option can also be set by an \
      environment variable or in a configuration file ('spate help configuration'); what the exit code means is listed by \
      'spate help exit-codes'.
      """,
    version: "spate " + Version.number,
    subcommands: [
      Download.self, Seed.self, Create.self, Show.self, Magnet.self, Verify.self, Scrape.self, Tracker.self,
      DHTCommand.self, Completions.self,
    ],
    groupedSubcommands: [
      CommandGroup(name: "Help topics", subcommands: [ExitCodesTopic.self, ConfigurationTopic.self])
    ])

  func run() throws { throw ValidationError("Missing a command, such as 'spate download'.") }
}

/// The program: arguments in, exit code out.
public struct CommandLineTool: Sendable {
  private let interrupts = Interrupts()

  /// Runs the command on other threads; the main thread waits for signals, and never comes back.
  ///
  /// The main thread must not be given to the main actor's queue: it would wait there with no signal blocked, and be
  /// ended by the first.
  public static func main(_ arguments: [String] = Array(CommandLine.arguments.dropFirst())) -> Never {
    SystemTerminal.ignoreBrokenPipes()
    let signals = SystemSignals()
    let tool = CommandLineTool()
    Task.detached { exit(await tool.status(arguments).rawValue) }
    tool.interrupts.listen(to: signals)
  }

  private func status(_ arguments: [String]) async -> CommandStatus {
    let console = Console(environment: ProcessInfo.processInfo.environment)
    do throws(CommandFailure) {
      switch try Self.parse(arguments) {
      case .command(let command): return try await command.execute(interrupts)
      case .text(let text):
        try console.result(text)
        return .success
      }
    } catch {
      if !error.description.isEmpty {
        console.line(console.style.coloured("spate: error: ", .red) + Printable.text(error.description))
      }
      return error.status
    }
  }

  enum Parsed {
    case command(any SpateSubcommand)
    /// Help, the version or a script, to be printed.
    case text(String)
  }

  static func parse(_ arguments: [String]) throws(CommandFailure) -> Parsed {
    do {
      var command = try Spate.parseAsRoot(arguments)
      if let command = command as? any SpateSubcommand { return .command(command) }
      // `help` and its kin print by throwing.
      try command.run()
      return .text("")
    } catch {
      if Spate.exitCode(for: error) == .success {
        return .text(Spate.fullMessage(for: error))
      }
      let message = Spate.message(for: error).split(separator: "\n").joined(separator: " ")
      throw CommandFailure(.usage, "\(message) (\(helpHint(arguments)))")
    }
  }

  private static func helpHint(_ arguments: [String]) -> String {
    let names = Spate.configuration.subcommands.map { $0._commandName }
    guard let first = arguments.first, names.contains(first) else { return "see 'spate --help'" }
    let below = DHTCommand.configuration.subcommands.map { $0._commandName }
    if first == "dht", arguments.count > 1, below.contains(arguments[1]) {
      return "see 'spate dht \(arguments[1]) --help'"
    }
    return "see 'spate \(first) --help'"
  }
}
