// The room Metainfo.
