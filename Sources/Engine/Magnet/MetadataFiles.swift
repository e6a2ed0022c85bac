import Foundation
import Metainfo
import Swarm
import TorrentModel

/// What is kept of magnet links in the folder of resume records: the metadata once it has come, and the peers found until it
/// had. Files are small; all of it is called off the loops.
enum MetadataFiles {
  private static func path(_ infoHash: InfoHash, _ ending: String, in folder: String) -> URL {
    URL(filePath: folder).appending(path: "\(infoHash.hex).\(ending)")
  }

  /// The kept torrent, with the trackers of the link; nil when there is none, or when it is not what it should be.
  static func load(_ infoHash: InfoHash, link: MagnetLink, in folder: String) -> TorrentMetainfo? {
    let file = path(infoHash, "torrent", in: folder)
    guard let size = try? file.resourceValues(forKeys: [.fileSizeKey]).fileSize,
      size <= Limits.metainfoLength,
      let data = try? Data(contentsOf: file), let kept = try? TorrentMetainfo.parse([UInt8](data))
    else { return nil }
    // Made anew of the info dictionary: the hash is checked, and the link may name other trackers than the last one.
    return try? TorrentMetainfo(info: [UInt8](kept.info.encoded), infoHash: infoHash, magnet: link)
  }

  static func save(_ metainfo: TorrentMetainfo, in folder: String) {
    write(metainfo.encoded(), to: path(metainfo.info.infoHash, "torrent", in: folder), folder)
  }

  static func loadPeers(_ infoHash: InfoHash, in folder: String) -> [PeerRecord] {
    let file = path(infoHash, "peers", in: folder)
    guard let size = try? file.resourceValues(forKeys: [.fileSizeKey]).fileSize, size <= 1 << 20,
      let data = try? Data(contentsOf: file)
    else { return [] }
    return PeerRecord.decode([UInt8](data).span)
  }

  static func savePeers(_ peers: [PeerRecord], _ infoHash: InfoHash, in folder: String) {
    guard !peers.isEmpty else { return }
    write(PeerRecord.encode(peers), to: path(infoHash, "peers", in: folder), folder)
  }

  /// Nobody is told of a failure: the next run only has to fetch again.
  private static func write(_ bytes: [UInt8], to file: URL, _ folder: String) {
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try? Data(bytes).write(to: file, options: .atomic)
  }
}
