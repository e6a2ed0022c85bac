import Engine

/// What the program calls itself.
enum Version {
  static let number = Release.number
  static let userAgent = Release.userAgent
}
