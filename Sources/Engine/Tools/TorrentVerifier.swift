import Metainfo
import Reactor
import Storage
import TorrentModel

/// Compares a torrent with what lies in a folder: every piece is read and hashed, on all cores.
public enum TorrentVerifier {
  /// How far a check or a creation has come, in bytes.
  public struct Progress: Sendable {
    public var done: Int64
    public var total: Int64
  }

  /// What one file is like.
  public struct FileResult: Sendable {
    /// Path below the folder, with `/`.
    public var path: String
    public var length: Int64
    /// Bytes of the file that lie in good pieces.
    public var goodBytes: Int64
    public var isPadding: Bool

    public var isGood: Bool { goodBytes == length }
  }

  public struct Report: Sendable {
    public var good: Bitfield
    public var files: [FileResult]
    public var isComplete: Bool { good.isFull }
  }

  /// - Parameters:
  ///   - folder: what the torrent's name lies in.
  ///   - workers: threads; nil takes all cores.
  ///   - progress: called now and then, on any thread.
  /// - Throws: when a file that is there cannot be read. Missing files are no error: their pieces are not good.
  public static func verify(
    _ metainfo: TorrentMetainfo, in folder: String, workers: Int? = nil,
    progress: @escaping @Sendable (Progress) -> Void = { _ in }
  ) async throws(TorrentFailure) -> Report {
    let info = metainfo.info
    let offline: OfflineDisk
    do { offline = try OfflineDisk(workers: workers ?? Machine.cores) } catch {
      throw TorrentFailure(kind: .other, description: error.description)
    }
    defer { offline.disk.shutdown() }
    let storage = TorrentStorage(
      infoHash: info.infoHash, root: folder, files: StorageFile.list(of: info), layout: info.layout,
      geometry: info.geometry, pieceHashes: info.pieceHashes, port: offline.port)
    offline.submit(storage, .open(OpenOptions(createsFiles: false)))
    let outcome = await withTaskCancellationHandler { () -> Result<Bitfield, TorrentFailure> in
      for await event in offline.events {
        switch event {
        case .opened: offline.submit(storage, .check(nil))
        case .checkProgress(let done, let total): progress(Progress(done: done, total: total))
        case .checked(let result): return .success(result.verified)
        case .failed(let failure), .operationFailed(let failure): return .failure(TorrentFailure(failure))
        default: break
        }
      }
      return .failure(TorrentFailure(kind: .other, description: "the check was given up"))
    } onCancel: {
      storage.cancelLongJob()
    }
    let good = try outcome.get()
    return Report(
      good: good,
      files: info.files.map { file in
        FileResult(
          path: info.downloadPath(ofFile: file.index), length: file.length,
          goodBytes: FileSelection.doneBytes(
            ofFile: file.index, have: good, geometry: info.geometry, layout: info.layout),
          isPadding: file.isPadding)
      })
  }
}
