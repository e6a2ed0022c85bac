// The room PeerWire.
