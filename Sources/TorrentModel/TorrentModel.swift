// The room TorrentModel.
