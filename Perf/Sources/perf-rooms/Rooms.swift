// perf-rooms [--quick] [PREFIX…]: measures single rooms of Spate in this process; a line of JSON for each result.
//
// Run it with libPerfMallocs.so preloaded and PERF_MALLOCS set to have allocations counted.
import Foundation

@main
struct Rooms {
  static func main() {
    let arguments = CommandLine.arguments.dropFirst()
    let stopwatch = Stopwatch(
      patience: arguments.contains("--quick") ? 0.02 : 0.2, only: arguments.filter { !$0.hasPrefix("--") })
    benchmarkHashes(stopwatch)
    benchmarkBencode(stopwatch)
    benchmarkMessages(stopwatch)
    benchmarkBitfields(stopwatch)
    benchmarkPool(stopwatch)
    benchmarkPicking(stopwatch)
    benchmarkDHT(stopwatch)
  }
}
