import Foundation

/// One line of `--progress json`.
struct ProgressLine: Decodable, Sendable {
  let event: String
  let infohash: String?
  let name: String?
  let state: String?
  let done: Int?
  let total: Int?
  let down: Double?
  let up: Double?
  let peers: Int?
  let seeds: Int?
  let eta: Double?

  /// The lines of a stream that are such objects; the last may still be incomplete.
  static func all(_ text: String) -> [ProgressLine] {
    text.split(separator: "\n").compactMap {
      try? JSONDecoder().decode(ProgressLine.self, from: Data($0.utf8))
    }
  }
}

/// The final document of `--json`.
struct FinalDocument: Decodable, Sendable {
  struct File: Decodable, Sendable {
    let path: String
    let length: Int
    let done: Int
  }
  struct Torrent: Decodable, Sendable {
    let infohash: String
    let name: String
    let files: [File]
    let status: String
    let bytes_down: Int
    let bytes_up: Int
    let seconds: Double
    let error: String?
  }
  let torrents: [Torrent]

  /// The issue says "one final document: per torrent …": read as an object with `torrents`.
  init(_ text: String) throws { self = try JSONDecoder().decode(FinalDocument.self, from: Data(text.utf8)) }
}
