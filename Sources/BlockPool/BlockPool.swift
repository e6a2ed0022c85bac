// The room BlockPool.
