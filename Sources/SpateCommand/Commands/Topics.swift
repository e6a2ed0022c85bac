import ArgumentParser

struct Completions: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "completions", abstract: "Print a completion script for a shell.",
    discussion: """
        spate completions bash > ~/.local/share/bash-completion/completions/spate
        spate completions zsh > ~/.zfunc/_spate        (with ~/.zfunc in $fpath)
        spate completions fish > ~/.config/fish/completions/spate.fish
      """)

  enum Shell: String, ExpressibleByArgument, CaseIterable {
    case bash, zsh, fish
  }

  @Argument(help: "bash, zsh or fish.") var shell: Shell

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    let kind: CompletionShell =
      switch shell {
      case .bash: .bash
      case .zsh: .zsh
      case .fish: .fish
      }
    try Console(environment: [:]).result(Spate.completionScript(for: kind))
    return .success
  }
}

struct ExitCodesTopic: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "exit-codes", abstract: "What the exit code says.", discussion: CommandStatus.table)

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try Console(environment: [:]).result(CommandStatus.table)
    return .success
  }
}

struct ConfigurationTopic: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "configuration", abstract: "Settings in files and environment variables.", discussion: text)

  static var text: String {
    """
    An option wins over an environment variable, and that over the configuration file.

    The file is --config FILE, or the one that SPATE_CONFIG names, or spate/config.json in $XDG_CONFIG_HOME or ~/.config. \
    It holds one JSON object; its keys are long names of options, an object under the name of a command (download, seed, \
    create, show, magnet, verify, scrape) is for that command only, and an unknown key is an error:

      { "dir": "/srv/downloads", "download-limit": "20M", "sequential": true,
        "tracker": ["udp://tracker.example:6969/announce"],
        "seed": { "upload-limit": "5M" } }

    A variable is SPATE_ and the option's name in capitals, with _ for -: SPATE_DOWNLOAD_LIMIT=20M. Switches are true or \
    false. Several values of an option that may be repeated are separated by spaces.

    Settings: \(SettingName.allCases.map(\.rawValue).joined(separator: ", ")).

    Also read: NO_COLOR, TERM, COLUMNS, LC_ALL, LC_CTYPE, LANG for what the terminal can show; SSL_CERT_FILE and \
    SSL_CERT_DIR for the certificate authorities that are trusted; SPATE_COUNTERS for a file in which download and seed \
    leave counts of the data path.
    """
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try Console(environment: [:]).result(Self.text)
    return .success
  }
}
