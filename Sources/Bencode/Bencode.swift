// The room Bencode.
