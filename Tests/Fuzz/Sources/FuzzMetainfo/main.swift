import FuzzDriver
import Glibc
import Metainfo

// Whatever is taken as a torrent has safe paths, each for one file, and adds up.

func check(_ info: TorrentInfo) {
  precondition(info.files.totalLength == info.geometry.totalLength)
  precondition(info.pieceHashes.count == info.geometry.pieceCount * 20)
  var paths: Set<[UInt8]> = []
  for file in info.files where !file.isPadding {
    precondition(paths.insert(Array(file.path.utf8)).inserted)
    for component in file.components {
      precondition((1...255).contains(component.utf8.count))
      precondition(component != "." && component != "..")
      precondition(
        !component.utf8.contains { $0 < 0x20 || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") })
    }
  }
  for file in info.files where !file.isPadding {
    var components = file.components
    while components.popLast() != nil && !components.isEmpty {
      precondition(!paths.contains(Array(components.joined(separator: "/").utf8)))
    }
    guard let text = file.symlinkText else { continue }
    var place = Array(file.components.dropLast())
    for step in text.split(separator: "/") where step != "." {
      if step == ".." { precondition(place.popLast() != nil) } else { place.append(String(step)) }
    }
    precondition(place.joined(separator: "/") == file.symlinkTarget)
  }
}

exit(
  fuzz { bytes in
    for rules in [PathRules.standard, PathRules(avoidsDeviceNames: false, foldsNames: true)] {
      do throws(MetainfoError) {
        let metainfo = try TorrentMetainfo.parse(bytes, rules: rules)
        check(metainfo.info)
        precondition(metainfo.trackers.allSatisfy { !$0.isEmpty })
        for warning in metainfo.warnings { precondition(!warning.description.isEmpty) }
        let alone = try? TorrentInfo.parse(Array(metainfo.info.encoded), rules: rules)
        precondition(alone?.infoHash == metainfo.info.infoHash)
      } catch {
        precondition(error.offset >= 0 && error.offset <= bytes.count)
        precondition(!error.description.isEmpty)
      }
    }
  })
