// The room DHT.
