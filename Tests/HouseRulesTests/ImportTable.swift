/// The table of DESIGN.md, section 2: which room may enter which, and what each may use besides.
enum ImportTable {
  /// Well-kept libraries that need no system: allowed where `Package.swift` names them.
  static let collections: Set<String> = ["DequeModule", "HeapModule", "OrderedCollections"]
  /// Ways to the machine and to other threads.
  static let machine: Set<String> = ["Glibc", "Musl", "Synchronization", "SystemPackage"]

  /// Rooms that are pure: no Foundation, no system, no clock, no random source, no reactor and no storage.
  static let pure: Set<String> = [
    "TorrentModel", "Bencode", "Metainfo", "PeerWire", "TrackerProtocol", "DHT", "MicroTransport", "Swarm",
  ]

  /// Rooms where `unsafe` may be written.
  static let unsafe: Set<String> = ["BlockPool", "Reactor", "Hashing"]
  /// Rooms where it may only in files called `System….swift`: their few system calls.
  static let unsafeInSystemFiles: Set<String> = ["Storage", "Engine", "SpateCommand"]

  static let allowed: [String: Set<String>] = [
    "TorrentModel": [],
    "Bencode": [],
    "Metainfo": ["TorrentModel", "Bencode", "Hashing"],
    "PeerWire": ["TorrentModel", "Bencode"],
    "TrackerProtocol": ["TorrentModel", "Bencode"],
    "DHT": ["TorrentModel", "Bencode"] + collections,
    "MicroTransport": ["TorrentModel"],
    "Swarm": ["TorrentModel", "PeerWire"] + collections,
    "BlockPool": machine,
    "Hashing": ["CHash", "BlockPool"] + machine,
    "Storage": ["TorrentModel", "BlockPool", "Hashing", "CDisk"] + machine + collections,
    "Reactor": ["CEvent", "BlockPool"] + machine + collections,
    "Engine": pure.union(["BlockPool", "Hashing", "Storage", "Reactor", "CCrypto", "Logging", "Foundation"])
      + machine
      + collections,
    "TrackerServer": ["TrackerProtocol", "Reactor", "TorrentModel", "Bencode", "Logging"] + machine
      + collections,
    "SpateCommand": ["Engine", "TrackerServer", "ArgumentParser", "Logging", "Foundation"] + machine,
    "spate": ["SpateCommand"],
  ]
}

extension Set<String> {
  fileprivate static func + (left: Self, right: Self) -> Self { left.union(right) }
}
