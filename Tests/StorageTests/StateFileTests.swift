@testable import Storage
import Testing

/// A small file that one user at a time may replace.
@Suite struct StateFileTests {
  @Test func oneUserAtATime() throws {
    let folder = TemporaryFolder()
    let path = folder.path + "/deep/er/state"
    let reader = StateFile(path: path, claiming: false)
    #expect(try reader.read(limit: 10) == nil && !reader.isOwned)
    var first: StateFile? = StateFile(path: path, claiming: true)
    try first?.replace(with: [1, 2, 3])
    #expect(first?.isOwned == true)
    let second = StateFile(path: path, claiming: true)
    #expect(!second.isOwned)
    try second.replace(with: [9])
    #expect(try reader.read(limit: 10) == [1, 2, 3], "replaced by one who may not")
    try first?.replace(with: [4])
    #expect(try second.read(limit: 10) == [4])
    // Whoever comes after the first has it.
    first = nil
    let third = StateFile(path: path, claiming: true)
    #expect(third.isOwned)
    try third.replace(with: [5, 6])
    #expect(try reader.read(limit: 2) == [5, 6])
    #expect(throws: StorageFailure.self) { try reader.read(limit: 1) }
  }

  @Test func aFolderThatCannotBe() throws {
    let folder = TemporaryFolder()
    try StateFile(path: folder.path + "/file", claiming: true).replace(with: [1])
    // A file stands where the folder would be.
    let file = StateFile(path: folder.path + "/file/state", claiming: true)
    #expect(!file.isOwned)
    #expect(throws: StorageFailure.self) { try file.read(limit: 10) }
  }
}
