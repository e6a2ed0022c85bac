// The room MicroTransport.
