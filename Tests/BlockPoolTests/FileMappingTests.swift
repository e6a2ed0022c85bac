import BlockPool
import Glibc
import Testing

/// Mapped files: what is said of them, never what is in them, which is the kernel's to read.
@Suite struct FileMappingTests {
  /// A file of so many bytes, written to the disk, and gone with the test.
  final class Sample {
    let path: String
    let descriptor: CInt

    init(_ length: Int, in folder: String = "/var/tmp") throws {
      var template = Array("\(folder)/spate-mapping-XXXXXX".utf8CString)
      descriptor = template.withUnsafeMutableBufferPointer { mkstemp($0.baseAddress!) }
      path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
      try #require(descriptor >= 0)
      let bytes = [UInt8](repeating: 7, count: length)
      try #require(write(descriptor, bytes, length) == length)
      fsync(descriptor)
    }

    deinit {
      close(descriptor)
      unlink(path)
    }

    /// Takes a range out of memory.
    func forget(_ offset: Int, _ length: Int) {
      posix_fadvise(descriptor, off_t(offset), off_t(length), POSIX_FADV_DONTNEED)
    }
  }

  @Test(arguments: [1, 4095, 4096, 4097, 1_000_000]) func whatWasWrittenIsResident(_ length: Int) throws {
    let sample = try Sample(length)
    let mapping = try #require(FileMapping(of: sample.descriptor, length: Int64(length)))
    #expect(mapping.length == Int64(length))
    #expect(mapping.isResident(0, length) && mapping.isResident(Int64(length - 1), 1))
    mapping.release(0, length)
    #expect(mapping.isResident(0, length), "it stays with the system")
  }

  @Test func whatIsNotInMemoryIsNotResident() throws {
    let sample = try Sample(1 << 20)
    let mapping = try #require(FileMapping(of: sample.descriptor, length: 1 << 20))
    sample.forget(0, 1 << 20)
    // Some file systems keep all in memory.
    guard !mapping.isResident(0, 1 << 20) else { return }
    var byte: UInt8 = 0
    posix_fadvise(sample.descriptor, 0, 0, POSIX_FADV_RANDOM)
    #expect(pread(sample.descriptor, &byte, 1, 300_000) == 1)
    #expect(mapping.isResident(300_000, 1))
    #expect(!mapping.isResident(300_000, 262_144), "one page of many is not enough")
  }

  @Test func whatWasCutOffIsNotResident() throws {
    let sample = try Sample(100_000)
    let mapping = try #require(FileMapping(of: sample.descriptor, length: 100_000))
    ftruncate(sample.descriptor, 50_000)
    #expect(mapping.isResident(0, 50_000))
    #expect(!mapping.isResident(40_000, 20_000) && !mapping.isResident(90_000, 10))
  }

  /// Without the file's own length there is no telling whether the system tells the truth about it.
  @Test func whatCannotBeMappedIsNot() throws {
    let sample = try Sample(100_000)
    #expect(FileMapping(of: sample.descriptor, length: 50_000) == nil, "the file is longer")
    #expect(FileMapping(of: sample.descriptor, length: 0) == nil)
    #expect(FileMapping(of: sample.descriptor, length: -1) == nil)
    #expect(FileMapping(of: sample.descriptor, length: .max) == nil)
    #expect(FileMapping(of: -1, length: 10) == nil)
    var ends: (CInt, CInt) = (-1, -1)
    withUnsafeMutableBytes(of: &ends) { _ = pipe($0.baseAddress!.assumingMemoryBound(to: CInt.self)) }
    #expect(FileMapping(of: ends.0, length: 10) == nil, "a pipe")
    close(ends.0)
    close(ends.1)
  }

  /// A file that is still being written has no bytes at its end yet.
  @Test func aShorterFileIsMapped() throws {
    let sample = try Sample(10_000)
    let mapping = try #require(FileMapping(of: sample.descriptor, length: 100_000))
    #expect(mapping.isResident(0, 10_000) && !mapping.isResident(0, 100_000))
    ftruncate(sample.descriptor, 100_000)
    #expect(pwrite(sample.descriptor, "x", 1, 99_999) == 1)
    #expect(mapping.isResident(99_999, 1))
  }
}
