import Foundation
import Testing

/// The rules of the house, over the package as it is.
@Suite struct HouseRulesTests {
  static let package = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// Paths below the package of all files below `folder` that end in one of `suffixes`.
  static func files(_ folder: String, _ suffixes: [String]) throws -> [String] {
    let root = package.appending(path: folder).path
    return try FileManager.default.subpathsOfDirectory(atPath: root)
      .filter { path in suffixes.contains { path.hasSuffix($0) } }
      .map { "\(folder)/\($0)" }.sorted()
  }

  static func text(_ path: String) throws -> String {
    try String(contentsOf: package.appending(path: path), encoding: .utf8)
  }

  @Test func swiftSourcesKeepTheRules() throws {
    let files = try Self.files("Sources", [".swift"])
    #expect(files.count > 100, "the sources were not found")
    let violations = try files.flatMap { try Rules.check(path: $0, text: Self.text($0)) }
    #expect(violations.isEmpty, "\(Self.list(violations))")
  }

  @Test func shimsKeepTheRules() throws {
    let files = try Self.files("CShims", [".c", ".h"])
    #expect(!files.isEmpty)
    let violations = try files.flatMap { try Rules.checkC(path: $0, text: Self.text($0)) }
    #expect(violations.isEmpty, "\(Self.list(violations))")
  }

  /// Every folder is in the table. Rooms that are yet to be built have no folder.
  @Test func theTableNamesEveryRoom() throws {
    let folders = try FileManager.default.contentsOfDirectory(
      atPath: Self.package.appending(path: "Sources").path)
    #expect(Set(folders).subtracting(ImportTable.allowed.keys) == [])
    #expect(folders.count > 12)
  }

  /// The import table as `Package.swift` has it: a room's dependencies are among what it may import.
  @Test func packageDependenciesAreInTheTable() throws {
    let source = try Self.text("Package.swift")
    let folders = try FileManager.default.contentsOfDirectory(
      atPath: Self.package.appending(path: "Sources").path)
    for (room, allowed) in ImportTable.allowed where room != "spate" && folders.contains(room) {
      let dependencies = try #require(
        PackageText.dependencies(of: room, in: source), "\(room) is not in Package.swift")
      #expect(dependencies.subtracting(allowed) == [], "\(room)")
    }
  }

  /// Imports point downward only: the table has no circle.
  @Test func theTableHasNoCircle() {
    var done: Set<String> = []
    var left = Set(ImportTable.allowed.keys)
    while !left.isEmpty {
      let ready = left.filter { room in
        (ImportTable.allowed[room] ?? []).intersection(ImportTable.allowed.keys).isSubset(of: done)
      }
      guard !ready.isEmpty else {
        Issue.record("a circle among \(left.sorted())")
        return
      }
      done.formUnion(ready)
      left.subtract(ready)
    }
  }

  static func list(_ violations: [Violation]) -> String {
    "\n" + violations.map { "  \($0)" }.joined(separator: "\n")
  }
}

/// Reads a room's dependencies from the text of `Package.swift`, which writes them as `room("Name", ["A", "B"] + list)`.
enum PackageText {
  static let lists: [String: Set<String>] = [
    "collections": ImportTable.collections,
    "system": ["SystemPackage"],
    "logging": ["Logging"],
    "pureRooms": ImportTable.pure,
    "groundRooms": ["BlockPool", "Hashing", "Storage", "Reactor"],
  ]

  static func dependencies(of room: String, in text: String) -> Set<String>? {
    guard let start = text.range(of: "room(\"\(room)\"") else { return nil }
    // Up to the parenthesis that closes the call.
    var depth = 1
    let rest = text[start.upperBound...]
    let end = rest.firstIndex { character in
      depth += character == "(" ? 1 : character == ")" ? -1 : 0
      return depth == 0
    }
    let call = rest[..<(end ?? rest.endIndex)]
    var names = Set(
      call.split(separator: "\"", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }
        .map { String($0.element) })
    let bare = call.split(separator: "\"", omittingEmptySubsequences: false).enumerated().filter {
      $0.offset % 2 == 0
    }
    for word in bare.flatMap({ SwiftSource.words(String($0.element)) }) {
      names.formUnion(lists[String(word)] ?? [])
    }
    return names
  }
}
