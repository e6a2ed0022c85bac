import DHT
import TorrentModel

// What a program needs beside ``DHTClient``, so that it imports one module.
public typealias NodeID = DHT.NodeID
public typealias DHTContact = DHT.DHTContact
public typealias DHTFamily = DHT.DHTFamily
public typealias DHTItem = DHT.DHTItem
public typealias DHTStatus = DHT.DHTStatus
public typealias DHTStatistics = DHT.DHTStatistics
public typealias DHTLookupResult = DHT.LookupResult
public typealias InfoHashSamples = DHT.InfoHashSamples
public typealias ScrapeEstimate = DHT.ScrapeEstimate
