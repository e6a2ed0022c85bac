import CHash
import Hashing
import Testing

@Suite struct DigestTests {
  /// From FIPS 180-4's examples (NIST, "SHA_All" and the short message vectors).
  static let known: [(message: String, repeated: Int, sha1: String, sha256: String)] = [
    (
      "", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709",
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    ),
    (
      "abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d",
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    ),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
      "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (
      "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
      1, "a49b2446a02c645bf419f995b67091253a04a259",
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
    ),
    (
      "a", 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    ),
  ]

  @Test(arguments: Engines.all) func knownAnswers(_ engine: HashEngine) {
    for (message, repeated, sha1, sha256) in Self.known {
      let bytes = Array(String(repeating: message, count: repeated).utf8)
      #expect(SHA1.digest(of: bytes.span, engine: engine).description == sha1)
      #expect(SHA256.digest(of: bytes.span, engine: engine).description == sha256)
    }
  }

  @Test(arguments: 0..<8) func hashersTakeAnyRuns(_ seed: UInt64) {
    var drawing = Drawing(seed)
    for _ in 0..<60 {
      var sha1 = SHA1Hasher()
      var sha256 = SHA256Hasher()
      var message: [UInt8] = []
      for _ in 0..<Int.random(in: 0...12, using: &drawing) {
        let limit = [0, 1, 63, 64, 65, 130, 5000].randomElement(using: &drawing) ?? 0
        let run = drawing.bytes(Int.random(in: 0...limit, using: &drawing))
        sha1.update(run.span)
        sha256.update(run.span)
        message += run
        if Bool.random(using: &drawing) {
          // Asking in between changes nothing.
          #expect(sha1.digest().bytes == HashAlgorithm.sha1.reference(message))
        }
      }
      #expect(sha1.digest().bytes == HashAlgorithm.sha1.reference(message))
      #expect(sha256.digest().bytes == HashAlgorithm.sha256.reference(message))
    }
  }

  @Test func aCopyOfAHasherGoesItsOwnWay() {
    var one = SHA1Hasher()
    one.update(Array("abc".utf8).span)
    var other = one
    other.update([0x64].span)
    #expect(one.digest() == SHA1.digest(of: Array("abc".utf8).span))
    #expect(other.digest() == SHA1.digest(of: Array("abcd".utf8).span))
  }

  /// One block of padding or two: the length must still fit behind the one bit.
  @Test(arguments: [(0, 1), (55, 1), (56, 2), (63, 2)])
  func padding(_ carried: Int, _ blocks: Int) {
    var tail = [UInt8](repeating: 0xee, count: 128)
    #expect(spate_hash_pad(&tail, carried, 1 << 61 | 5) == blocks)
    #expect(tail[carried] == 0x80)
    let end = blocks * 64
    #expect(tail[(carried + 1)..<(end - 8)].allSatisfy { $0 == 0 })
    // Bits, modulo 2^64.
    #expect(Array(tail[(end - 8)..<end]) == [0, 0, 0, 0, 0, 0, 0, 40])
    #expect(tail[end...].allSatisfy { $0 == 0xee })
  }

  @Test(arguments: 0...40) func digestsFromBytes(_ count: Int) {
    let bytes = (0..<count).map { UInt8($0) }
    let sha1 = SHA1Digest(bytes.span)
    let sha256 = SHA256Digest(bytes.span)
    #expect((sha1 != nil) == (count == 20))
    #expect((sha256 != nil) == (count == 32))
    if let sha1 {
      #expect(sha1.bytes == bytes)
      #expect(sha1.description == "000102030405060708090a0b0c0d0e0f10111213")
    }
    if let sha256 {
      #expect(sha256.bytes == bytes)
      #expect(sha256.description == "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
    }
  }

  @Test func digestsDifferInEveryBit() {
    func check<Digest: HashDigest>(_: Digest.Type) {
      let bytes = [UInt8](repeating: 0x5a, count: Digest.byteCount)
      let digest = Digest(bytes.span)
      for bit in 0..<(8 * Digest.byteCount) {
        var changed = bytes
        changed[bit / 8] ^= 1 << (bit % 8)
        let other = Digest(changed.span)
        #expect(other != nil && other != digest)
        changed[bit / 8] ^= 1 << (bit % 8)
        let again = Digest(changed.span)
        #expect(again == digest && again.hashValue == digest.hashValue)
      }
    }
    check(SHA1Digest.self)
    check(SHA256Digest.self)
  }

  /// An array of digests lies in memory as metainfo and merkle layers do.
  @Test func digestsAreTheirBytes() {
    #expect(MemoryLayout<SHA1Digest>.stride == SHA1Digest.byteCount)
    #expect(MemoryLayout<SHA256Digest>.stride == SHA256Digest.byteCount)
    let pair = [SHA1.digest(of: [1].span), SHA1.digest(of: [2].span)]
    #expect(pair.withUnsafeBytes(Array.init) == pair[0].bytes + pair[1].bytes)
    var appended: [UInt8] = [9]
    pair[0].append(to: &appended)
    #expect(appended == [9] + pair[0].bytes)
  }
}
