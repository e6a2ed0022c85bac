import Hashing
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite struct EngineTests {
  @Test func everyProcessorHasOpenSSL() throws {
    let engine = try #require(HashEngine(.openssl))
    for algorithm in HashAlgorithm.allCases {
      for streams in 1...16 {
        #expect(engine.kernel(for: algorithm, streams: streams).name.hasSuffix("-openssl"))
      }
    }
    #expect(HashEngine(.automatic) != nil)
    #expect(HashEngine.disagreeing.isEmpty)
  }

  /// Whatever is chosen is of the right function, can run here, and was found right.
  @Test(arguments: Engines.all)
  func choices(_ engine: HashEngine) {
    for algorithm in HashAlgorithm.allCases {
      for streams in -1...20 {
        let kernel = engine.kernel(for: algorithm, streams: streams)
        #expect(kernel.algorithm == algorithm)
        #expect(kernel.isSupported && kernel.agrees)
      }
    }
    #expect(engine.description.hasPrefix(engine.name))
  }

  @Test(arguments: HashKernel.all)
  func aKernelAlone(_ kernel: HashKernel) throws {
    guard kernel.agrees else {
      #expect(HashEngine(kernel) == nil)
      return
    }
    let engine = try #require(HashEngine(kernel))
    #expect(engine.name == kernel.name)
    for streams in 1...16 { #expect(engine.kernel(for: kernel.algorithm, streams: streams) == kernel) }
  }

  /// A family leads to its own kernels for full lanes, and never to another's.
  @Test(arguments: [HashEngine.Family.shani, .avx2, .avx512])
  func families(_ family: HashEngine.Family) {
    let own = HashKernel.all.filter { $0.name.contains("-\(family.rawValue)-") && $0.agrees }
    guard let engine = HashEngine(family) else {
      #expect(own.isEmpty)
      return
    }
    for algorithm in HashAlgorithm.allCases {
      #expect(own.contains(engine.kernel(for: algorithm, streams: 16)))
      for streams in 1...16 {
        let kernel = engine.kernel(for: algorithm, streams: streams)
        #expect(own.contains(kernel) || kernel.name.hasSuffix("-openssl"))
      }
    }
  }

  // The variable is read once, so each case is a process of its own.

  @Test func aWishIsGranted() async {
    await #expect(processExitsWith: .success) {
      setenv("SPATE_HASH", "openssl", 1)
      check(HashEngine.current.name == "openssl")
      check(HashEngine.wish == .granted("openssl"))
      check(HashEngine.warnings.isEmpty)
    }
  }

  @Test func anUnknownWishIsReported() async {
    await #expect(processExitsWith: .success) {
      setenv("SPATE_HASH", "md5 and a name too long for any engine there might ever be", 1)
      check(isDefault(HashEngine.current))
      check(HashEngine.wish == .unknown("md5 and a name too long for any"))
      check(HashEngine.warnings.count == 1)
    }
  }

  @Test func aWishIsGrantedOrRefused() async {
    await #expect(processExitsWith: .success) {
      setenv("SPATE_HASH", "avx512", 1)
      if HashEngine(.avx512) != nil {
        check(HashEngine.current.name == "avx512")
        check(HashEngine.wish == .granted("avx512"))
      } else {
        check(isDefault(HashEngine.current))
        check(HashEngine.wish == .unsupported("avx512"))
        check(HashEngine.warnings.count == 1)
      }
    }
  }

  @Test func noWish() async {
    await #expect(processExitsWith: .success) {
      setenv("SPATE_HASH", "", 1)
      check(isDefault(HashEngine.current))
      check(HashEngine.wish == .none)
    }
  }
}

/// Debug builds hash with OpenSSL unless told otherwise.
private func isDefault(_ engine: HashEngine) -> Bool { engine.name == "auto" || engine.name == "openssl" }

/// In a process of its own the exit status says what `#expect` would.
private func check(_ condition: Bool) {
  if !condition { exit(1) }
}
