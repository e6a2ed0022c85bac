// The room TrackerServer.
