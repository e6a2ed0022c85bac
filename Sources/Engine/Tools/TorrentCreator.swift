import Foundation
import Metainfo
import Reactor
import Storage
import TorrentModel

/// Makes a torrent of a file or a folder: the pieces are read and hashed on all cores.
public enum TorrentCreator {
  public struct Options: Sendable {
    /// Announce URLs by tier (BEP 12).
    public var trackers: [[String]] = []
    /// Web seeds (BEP 19).
    public var webSeeds: [String] = []
    public var comment: String?
    public var isPrivate = false
    public var source: String?
    /// Bytes, a multiple of 16 KiB; nil chooses by the total length.
    public var pieceLength: Int?
    /// The torrent's name; nil takes that of the file or folder.
    public var name: String?
    /// Threads; nil takes all cores.
    public var workers: Int?
    public var createdBy: String? = Release.userAgent
    /// Seconds since 1970; nil leaves the date out.
    public var creationDate: Int64?

    public init() {}
  }

  /// Why no torrent was made.
  public enum Failure: Error, Sendable, CustomStringConvertible {
    case cannotRead(path: String, reason: String)
    /// The names, lengths or options make no torrent.
    case unsuitable(String)
    case storage(TorrentFailure)
    case cancelled

    public var description: String {
      switch self {
      case .cannotRead(let path, let reason): "cannot read '\(path)': \(reason)"
      case .unsuitable(let reason): reason
      case .storage(let failure): failure.description
      case .cancelled: "cancelled"
      }
    }
  }

  public struct Created: Sendable {
    /// The .torrent file.
    public var bytes: [UInt8]
    public var infoHash: InfoHash
    /// Things worth knowing: links that were left out, names that clients will change.
    public var warnings: [String]
  }

  /// Regular files are taken, hidden ones too; links to files count as the files, links to folders and everything that is
  /// no regular file are left out with a warning.
  public static func create(
    path: String, options: Options = Options(),
    progress: @escaping @Sendable (TorrentVerifier.Progress) -> Void = { _ in }
  ) async throws(Failure) -> Created {
    var source = try FileTree(path)
    var builder: MetainfoBuilder
    do {
      let name = options.name ?? source.name
      if let length = source.singleLength {
        builder = try MetainfoBuilder(
          file: name, length: length, attributes: source.singleAttributes, pieceLength: options.pieceLength)
      } else {
        builder = try MetainfoBuilder(folder: name, files: source.files, pieceLength: options.pieceLength)
      }
    } catch {
      throw .unsuitable(error.description)
    }
    builder.trackers = options.trackers
    builder.webSeeds = options.webSeeds
    builder.comment = options.comment
    builder.createdBy = options.createdBy
    builder.creationDate = options.creationDate
    builder.isPrivate = options.isPrivate
    builder.source = options.source
    let changed = builder.namesThatChange()
    if let first = changed.first {
      source.warnings.append(
        "\(changed.count) name(s) are changed by careful clients, beginning with '\(first)': these files cannot be seeded"
          + " from where they are")
    }

    let hashes = try await hash(builder, source, workers: options.workers ?? Machine.cores, progress)
    do {
      let bytes = try builder.encode(pieceHashes: hashes)
      let infoHash = try TorrentMetainfo.parse(bytes).info.infoHash
      return Created(bytes: bytes, infoHash: infoHash, warnings: source.warnings)
    } catch let error as MetainfoBuilderError {
      throw .unsuitable(error.description)
    } catch {
      throw .unsuitable("\(error)")
    }
  }

  private static func hash(
    _ builder: MetainfoBuilder, _ source: FileTree, workers: Int,
    _ progress: @escaping @Sendable (TorrentVerifier.Progress) -> Void
  ) async throws(Failure) -> [UInt8] {
    let offline: OfflineDisk
    do { offline = try OfflineDisk(workers: workers) } catch {
      throw .storage(TorrentFailure(kind: .other, description: error.description))
    }
    defer { offline.disk.shutdown() }
    // Paths are those on the disk, whatever the torrent calls itself.
    let files = builder.files.map { file in
      StorageFile(path: builder.isSingleFile ? source.name : file.components.joined(separator: "/"))
    }
    let storage = TorrentStorage(
      infoHash: InfoHash(Bytes20()), root: builder.isSingleFile ? source.parent : source.path, files: files,
      layout: builder.layout, geometry: builder.geometry, pieceHashes: [], port: offline.port)
    offline.submit(storage, .open(OpenOptions(createsFiles: false)))
    let outcome = await withTaskCancellationHandler { () -> Result<[UInt8], Failure> in
      for await event in offline.events {
        switch event {
        case .opened: offline.submit(storage, .hash)
        case .checkProgress(let done, let total): progress(.init(done: done, total: total))
        case .hashed(let hashes): return hashes.map { .success($0) } ?? .failure(.cancelled)
        case .failed(let failure), .operationFailed(let failure):
          return .failure(.storage(TorrentFailure(failure)))
        default: break
        }
      }
      return .failure(.cancelled)
    } onCancel: {
      storage.cancelLongJob()
    }
    return try outcome.get()
  }
}

/// The files below a path, as a torrent wants them.
private struct FileTree {
  let path: String
  let parent: String
  let name: String
  var singleLength: Int64?
  var singleAttributes: FileAttributes = []
  var files: [MetainfoBuilder.File] = []
  var warnings: [String] = []

  init(_ given: String) throws(TorrentCreator.Failure) {
    let url = URL(fileURLWithPath: given).standardizedFileURL
    path = url.path
    parent = url.deletingLastPathComponent().path
    name = url.lastPathComponent
    let manager = FileManager.default
    do {
      let attributes = try manager.attributesOfItem(atPath: url.resolvingSymlinksInPath().path)
      if attributes[.type] as? FileAttributeType == .typeDirectory {
        try walk([], manager)
      } else {
        guard attributes[.type] as? FileAttributeType == .typeRegular else {
          throw TorrentCreator.Failure.cannotRead(path: given, reason: "it is no regular file")
        }
        singleLength = (attributes[.size] as? NSNumber)?.int64Value ?? 0
        if Self.isExecutable(attributes) { singleAttributes = .executable }
      }
    } catch let failure as TorrentCreator.Failure {
      throw failure
    } catch CocoaError.fileReadNoSuchFile, CocoaError.fileNoSuchFile {
      throw .cannotRead(path: given, reason: "there is no such file or folder")
    } catch {
      throw .cannotRead(path: given, reason: error.localizedDescription)
    }
  }

  private static func isExecutable(_ attributes: [FileAttributeKey: Any]) -> Bool {
    ((attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0) & 0o111 != 0
  }

  private mutating func walk(_ folder: [String], _ manager: FileManager) throws {
    guard folder.count < 64 else {
      warnings.append("'\(folder.joined(separator: "/"))' is too deep and left out")
      return
    }
    let place = ([path] + folder).joined(separator: "/")
    for entry in try manager.contentsOfDirectory(atPath: place).sorted() {
      let full = place + "/" + entry
      let components = folder + [entry]
      let relative = components.joined(separator: "/")
      var attributes = try manager.attributesOfItem(atPath: full)
      if attributes[.type] as? FileAttributeType == .typeSymbolicLink {
        let target = URL(fileURLWithPath: full).resolvingSymlinksInPath().path
        guard let found = try? manager.attributesOfItem(atPath: target),
          found[.type] as? FileAttributeType == .typeRegular
        else {
          warnings.append("the link '\(relative)' leads to no file and is left out")
          continue
        }
        attributes = found
      }
      switch attributes[.type] as? FileAttributeType {
      case .typeDirectory?: try walk(components, manager)
      case .typeRegular?:
        let length = (attributes[.size] as? NSNumber)?.int64Value ?? 0
        files.append(
          MetainfoBuilder.File(
            components: components, length: length,
            attributes: Self.isExecutable(attributes) ? .executable : []))
      default: warnings.append("'\(relative)' is no regular file and left out")
      }
    }
  }
}
