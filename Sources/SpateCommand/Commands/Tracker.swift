import ArgumentParser

struct Tracker: SpateSubcommand {
  static let configuration = CommandConfiguration(commandName: "tracker", abstract: "Run a tracker.")
  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> ExitStatus { .success }
}
