import Testing
import TorrentModel

@testable import DHT

@Suite struct ItemTests {
  static let key = bytes(hex: "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")
  static let value = Array("12:Hello World!".utf8)

  /// The vectors of BEP 44. Their private keys are in the expanded form, so signatures are checked, not made.
  @Test(arguments: [
    (
      "", "3:seqi1e1:v12:Hello World!", "4a533d47ec9c7d95b1ad75f576cffc641853b750",
      "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01"
    ),
    (
      "foobar", "4:salt6:foobar3:seqi1e1:v12:Hello World!", "411eba73b6f087ca51a3795d9c8c938d365e32c1",
      "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17ddf9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08"
    ),
  ])
  func mutable(_ salt: String, _ signed: String, _ target: String, _ signature: String) throws {
    let salt = Array(salt.utf8)
    #expect(text(DHTItem.signedBytes(value: Self.value.span, salt: salt.span, sequence: 1)) == signed)
    var item = DHTItem(
      value: Self.value,
      mutable: .init(publicKey: Self.key, salt: salt, sequence: 1, signature: bytes(hex: signature)))
    #expect(item.target(sha1: sha1).hex == target)
    try item.validate(verifying: verifySignature)
    item.mutable?.sequence = 2
    #expect(throws: DHTItem.Problem.badSignature) { try item.validate(verifying: verifySignature) }
  }

  @Test func immutable() {
    #expect(DHTItem(value: Self.value).target(sha1: sha1).hex == "e5f96f6f38320f0f33959cb4d3d656452117aadb")
  }

  /// The vectors of BEP 46.
  @Test(arguments: [
    ([UInt8](), "cc3f9d90b572172053626f9980ce261a850d050b"),
    ([0x6e], "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f"),
  ])
  func torrentPointers(_ salt: [UInt8], _ target: String) throws {
    let key = bytes(hex: "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e")
    #expect(DHTItem.target(ofPublicKey: key.span, salt: salt.span, sha1: sha1).hex == target)
    let infoHash = try #require(InfoHash(hex: target))
    let item = DHTItem(value: DHTItem.torrentPointer(to: infoHash))
    #expect(item.pointedTorrent == infoHash)
    #expect(DHTItem(value: Self.value).pointedTorrent == nil)
    try item.validate(verifying: verifySignature)
  }

  @Test func ownSignatures() throws {
    let pair = KeyPair(seed: 7)
    var item = pair.item("hello", salt: "x", sequence: 4)
    try item.validate(verifying: verifySignature)
    let good = item
    item.value[2] ^= 1
    #expect(throws: DHTItem.Problem.badSignature) { try item.validate(verifying: verifySignature) }
    item = good
    item.mutable?.salt = Array("y".utf8)
    #expect(throws: DHTItem.Problem.badSignature) { try item.validate(verifying: verifySignature) }
    item = good
    item.mutable?.publicKey = KeyPair(seed: 8).publicKey
    #expect(throws: DHTItem.Problem.badSignature) { try item.validate(verifying: verifySignature) }
  }

  @Test func refusals() {
    func problem(_ item: DHTItem) -> DHTItem.Problem? {
      do throws(DHTItem.Problem) {
        try item.validate(verifying: verifySignature)
        return nil
      } catch { return error }
    }
    #expect(problem(DHTItem(value: [UInt8](repeating: 0, count: 1001))) == .valueTooLong(1001))
    #expect(problem(DHTItem(value: Array("12:Hello".utf8))) == .valueIsNotCanonicalBencode)
    #expect(problem(DHTItem(value: Array("d1:bi1e1:ai1ee".utf8))) == .valueIsNotCanonicalBencode)
    let pair = KeyPair(seed: 7)
    var item = pair.item("v", sequence: 1)
    item.mutable?.salt = [UInt8](repeating: 1, count: 65)
    #expect(problem(item) == .saltTooLong(65))
    item = pair.item("v", sequence: -1)
    #expect(problem(item) == .negativeSequence(-1))
    item.mutable?.publicKey = [1]
    #expect(problem(item) == .badKeyLength(1))
    item.mutable?.publicKey = pair.publicKey
    item.mutable?.signature = [1, 2]
    #expect(problem(item) == .badSignatureLength(2))
  }
}
