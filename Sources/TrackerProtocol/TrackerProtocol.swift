// The room TrackerProtocol.
