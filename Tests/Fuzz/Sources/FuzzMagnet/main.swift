import FuzzDriver
import Glibc
import Metainfo
import TorrentModel

// Whatever is taken as a magnet link is within its limits, safe to print, and comes out as it went in.

exit(
  fuzz { bytes in
    for text in [String(decoding: bytes, as: UTF8.self), "magnet:?" + String(decoding: bytes, as: UTF8.self)]
    {
      do throws(MagnetError) {
        let link = try MagnetLink(parsing: text)
        precondition(!link.infoHashes.isEmpty || link.mutableTorrent != nil)
        for warning in link.warnings { precondition(!warning.description.isEmpty && !warning.field.isEmpty) }
        precondition(link.trackers.allSatisfy { !$0.isEmpty })
        let urls = link.trackers.flatMap { $0 } + link.webSeeds
        precondition(urls.allSatisfy { $0.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f } })
        precondition(link.peers.allSatisfy { $0.port != 0 && !$0.host.isEmpty })
        if let selection = link.selection {
          precondition(zip(selection, selection.dropFirst()).allSatisfy { $0.upperBound + 1 < $1.lowerBound })
          precondition(selection.allSatisfy { $0.lowerBound >= 0 && $0.upperBound < Limits.fileCount })
        }
        precondition(
          MagnetLink.isMagnetLink(text) || text.first?.isWhitespace == true
            || text.utf8.first.map { $0 <= 0x20 } == true)
        // A name that was cut would be cut again; an escaped link may be longer than it came.
        let printed = link.description
        guard printed.utf8.count <= MagnetLink.lengthLimit else { continue }
        precondition(printed.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f })
        let again = try MagnetLink(parsing: printed)
        precondition(again.infoHashes == link.infoHashes && again.trackers == link.trackers)
        precondition(
          again.webSeeds == link.webSeeds && again.peers == link.peers && again.selection == link.selection)
        precondition(again.length == link.length && again.mutableTorrent == link.mutableTorrent)
        precondition(again.warnings.isEmpty && again.version2Hash == link.version2Hash)
      } catch {
        precondition(!error.description.isEmpty)
      }
    }
  })
