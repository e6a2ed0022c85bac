import TorrentModel
func infoHash(of encoded: Span<UInt8>) -> InfoHash { InfoHash(Bytes20()) }
