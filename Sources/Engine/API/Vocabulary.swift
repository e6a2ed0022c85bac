import BlockPool
import Metainfo
import Reactor
import TorrentModel

// What a program needs beside ``Session`` and ``Torrent``, so that it imports one module.
public typealias TorrentMetainfo = Metainfo.TorrentMetainfo
public typealias TorrentInfo = Metainfo.TorrentInfo
public typealias MagnetLink = Metainfo.MagnetLink
public typealias MagnetError = Metainfo.MagnetError
public typealias MetainfoError = Metainfo.MetainfoError
public typealias InfoHash = TorrentModel.InfoHash
public typealias Endpoint = TorrentModel.Endpoint
public typealias IPAddress = TorrentModel.IPAddress
public typealias PieceIndex = TorrentModel.PieceIndex
public typealias Bitfield = TorrentModel.Bitfield
public typealias PieceGeometry = TorrentModel.PieceGeometry
public typealias TorrentLimits = TorrentModel.Limits
