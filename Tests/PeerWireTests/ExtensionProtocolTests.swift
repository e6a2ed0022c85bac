import Bencode
import PeerWire
import Testing
import TorrentModel

@Suite struct ExtensionProtocolTests {
  let metadata = WireExtension(
    name: "ut_metadata", localID: 2, messageLengthLimit: 17 << 10,
    handshakeKeys: ["metadata_size", "metadata_note"])
  var registry: ExtensionRegistry {
    ExtensionRegistry([DontHave.registration, metadata])
  }

  func decode(_ text: String) throws(PeerProtocolError) -> ExtendedHandshake {
    try ExtendedHandshake.decode(Array(text.utf8).span, registry: registry)
  }

  @Test func aHandshakeOfAnotherClientIsRead() throws {
    // As libtorrent sends it, cut down.
    let text =
      "d12:complete_agoi-1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e12:ut_holepunchi4e"
      + "11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e4:reqqi2000e11:upload_onlyi1e"
      + "1:v17:qBittorrent/4.6.56:yourip4:\u{7f}\0\0\u{1}e"
    let handshake = try decode(text)
    #expect(
      handshake.messages == [
        .init(extension: DontHave.registration, remoteID: 7), .init(extension: metadata, remoteID: 2),
      ])
    #expect(handshake.client == "qBittorrent/4.6.5")
    #expect(handshake.listenPort == 6881)
    #expect(handshake.requestQueueLength == 2000)
    #expect(handshake.yourAddress == IPAddress(127, 0, 0, 1))
    #expect(handshake.isUploadOnly == true)
    #expect(handshake.metadataSize == 31235)
    #expect(handshake.entries == [.init(key: "metadata_size", value: Array("i31235e".utf8))])
  }

  @Test func ourHandshakeIsCanonicalBencode() {
    var handshake = ExtendedHandshake()
    handshake.messages = ExtendedHandshake.messages(of: .privateTorrent)
    handshake.client = "Spate 0.1"
    handshake.listenPort = 6881
    handshake.requestQueueLength = 2000
    handshake.yourAddress = IPAddress(65, 66, 67, 68)
    handshake.isUploadOnly = true
    #expect(
      String(decoding: handshake.encoded(), as: UTF8.self)
        == "d1:md11:lt_donthavei1ee1:pi6881e4:reqqi2000e11:upload_onlyi1e1:v9:Spate 0.16:yourip4:ABCDe")
    #expect(String(decoding: ExtendedHandshake().encoded(), as: UTF8.self) == "d1:mdee")
  }

  @Test func everythingRoundTrips() throws {
    var handshake = ExtendedHandshake()
    handshake.messages = ExtendedHandshake.messages(of: registry)
    handshake.client = "µTorrent 1.2"
    handshake.listenPort = 65535
    handshake.requestQueueLength = 250
    handshake.yourAddress = IPAddress("2001:db8::7")
    handshake.ipv4 = IPAddress(1, 2, 3, 4)
    handshake.ipv6 = IPAddress("2001:db8::8")
    handshake.isUploadOnly = false
    handshake.metadataSize = 12345
    handshake.entries.append(.init(key: "metadata_note", value: Array("li1e2:abe".utf8)))
    #expect(try ExtendedHandshake.decode(handshake.encoded().span, registry: registry) == handshake)
  }

  /// An entry that is out of range or of the wrong kind counts as missing; the rest is read.
  @Test(arguments: [
    "1:pi0e", "1:pi65536e", "1:pi-1e", "1:p4:6881", "4:reqqi0e", "4:reqqi-5e", "4:reqql1:ae", "1:v0:",
    "1:vi5e",
    "6:yourip3:abc", "6:youripi7e", "4:ipv416:aaaaaaaaaaaaaaaa", "4:ipv64:aaaa", "11:upload_only1:1",
    "1:mi3e", "1:mle", "1:md6:ut_pexi9ee", "1:md11:ut_metadatai256ee", "1:md11:ut_metadatai-1ee",
    "1:md11:ut_metadata1:2ee", "7:unknownd1:xld1:yi3eeeee",
  ])
  func nonsenseInOneEntryIsIgnored(entry: String) throws {
    #expect(try decode("d\(entry)e") == ExtendedHandshake())
  }

  @Test(arguments: [
    "i0e", "i-1e", "i33554433e", "i2147483648e", "i9223372036854775807e", "3:100", "li5ee", "de",
  ])
  func noLengthOfMetadataBeyondTheLimitIsBelieved(value: String) throws {
    #expect(try decode("d13:metadata_size\(value)e").metadataSize == nil)
  }

  @Test func theGreatestLengthOfMetadataIsBelieved() throws {
    #expect(try decode("d13:metadata_sizei33554432ee").metadataSize == Limits.metadataLength)
    // Only where somebody asked for it.
    let bytes = Array("d13:metadata_sizei5ee".utf8)
    #expect(try ExtendedHandshake.decode(bytes.span, registry: .privateTorrent).metadataSize == nil)
    #expect(try ExtendedHandshake.decode(bytes.span, registry: .standard).metadataSize == 5)
  }

  /// Everything of ours, under ids that only this peer uses, one of them switched off and on again.
  @Test func eachSideChoosesItsIDs() throws {
    var ours = ExtendedHandshake()
    ours.messages = ExtendedHandshake.messages(of: .standard)
    #expect(
      String(decoding: ours.encoded(), as: UTF8.self)
        == "d1:md11:lt_donthavei1e11:ut_metadatai2e6:ut_pexi3eee")
    func theirs(_ text: String) throws -> ExtendedHandshake {
      try ExtendedHandshake.decode(Array(text.utf8).span, registry: .standard)
    }
    var remote = RemoteExtensions()
    remote.apply(try theirs("d1:md6:ut_pexi1e11:ut_metadatai3e9:ut_futurei2eee"))
    #expect(remote[PeerExchange.registration] == 1 && remote[Metadata.registration] == 3)
    #expect(remote[DontHave.registration] == nil)
    remote.apply(try theirs("d1:md6:ut_pexi0eee"))
    #expect(remote[PeerExchange.registration] == nil && remote[Metadata.registration] == 3)
    remote.apply(try theirs("d1:md6:ut_pexi200eee"))
    #expect(remote[PeerExchange.registration] == 200)
  }

  @Test func privateTorrentsAreNotToldOf() {
    #expect(ExtensionRegistry.privateTorrent.all == [DontHave.registration])
    #expect(
      ExtensionRegistry.standard.without(PeerExchange.registration).all
        == [DontHave.registration, Metadata.registration])
  }

  @Test func aQueueLengthBeyondReasonIsCutDown() throws {
    #expect(
      try decode("d4:reqqi9223372036854775807ee").requestQueueLength
        == ExtendedHandshake.requestQueueLengthLimit)
  }

  @Test func namesOfClientsAreMadePrintable() throws {
    let evil = "\u{1b}[2J\u{202e}x\n\u{7}"
    #expect(try decode("d1:v\(evil.utf8.count):\(evil)e").client == "?[2J?x??")
    let long = String(repeating: "é", count: 500)
    let name = try #require(try decode("d1:v1000:\(long)e").client)
    #expect(name == String(repeating: "é", count: 32) + "…")
    let broken: [UInt8] = Array("d1:v3:".utf8) + [0xff, 0x41, 0xc3] + Array("e".utf8)
    #expect(try ExtendedHandshake.decode(broken.span, registry: registry).client == "\u{fffd}A\u{fffd}")
  }

  /// What becomes private takes back what was offered before: whoever applies both handshakes has nothing left.
  @Test func extensionsAreWithdrawn() throws {
    var remote = RemoteExtensions()
    var ours = ExtendedHandshake()
    ours.messages = ExtendedHandshake.messages(of: .standard)
    remote.apply(try ExtendedHandshake.decode(ours.encoded().span, registry: .standard))
    #expect(remote[PeerExchange.registration] == PeerExchange.registration.localID)
    ours.messages = ExtendedHandshake.messages(
      of: .privateTorrent, without: [Metadata.registration, PeerExchange.registration])
    #expect(
      String(decoding: ours.encoded(), as: UTF8.self)
        == "d1:md11:lt_donthavei1e11:ut_metadatai0e6:ut_pexi0eee")
    remote.apply(try ExtendedHandshake.decode(ours.encoded().span, registry: .standard))
    #expect(remote[PeerExchange.registration] == nil && remote[Metadata.registration] == nil)
    #expect(remote[DontHave.registration] == DontHave.registration.localID)
  }

  @Test func whatIsNoDictionaryIsRefused() {
    for text in ["le", "i5e", "4:spam"] {
      #expect(throws: PeerProtocolError.extendedHandshakeIsNotADictionary) { try decode(text) }
    }
    for text in ["", "d", "d1:p", "d1:pi5e", "di1ei2ee", "d1:pi5e1:pi6ee", "x", "d1:v9999999:abe"] {
      do throws(PeerProtocolError) {
        _ = try decode(text)
        Issue.record("taken: \(text)")
      } catch {
        guard case .badExtendedHandshake = error else {
          Issue.record("\(error)")
          continue
        }
        #expect(!error.description.isEmpty)
      }
    }
    let deep = String(repeating: "l", count: 17)
    #expect(throws: PeerProtocolError.self) {
      try decode("d1:x\(deep)\(String(repeating: "e", count: 17))e")
    }
    let wide = String(repeating: "0:", count: 5000)
    #expect(throws: PeerProtocolError.self) { try decode("d1:xl\(wide)ee") }
  }

  /// BEP 10: the dictionary is additive when it comes again, and 0 switches off.
  @Test func idsOfAPeerFollowItsHandshakes() throws {
    var remote = RemoteExtensions()
    #expect(remote[DontHave.registration] == nil && remote[metadata] == nil)
    remote.apply(try decode("d1:md11:lt_donthavei7eee"))
    #expect(remote[DontHave.registration] == 7 && remote[metadata] == nil)
    remote.apply(try decode("d1:md11:ut_metadatai255eee"))
    #expect(remote[DontHave.registration] == 7 && remote[metadata] == 255)
    remote.apply(try decode("d1:md11:lt_donthavei0eee"))
    #expect(remote[DontHave.registration] == nil && remote[metadata] == 255)
    remote.apply(try decode("de"))
    #expect(remote[metadata] == 255)
  }

  @Test func theRegistryFindsExtensionsByIDAndName() {
    #expect(registry[0] == nil && registry[1] == DontHave.registration && registry[2] == metadata)
    #expect(registry[3] == nil && registry[15] == nil && registry[16] == nil && registry[255] == nil)
    #expect(registry.named(Array("ut_metadata".utf8).span) == metadata)
    #expect(registry.named(Array("ut_metadat".utf8).span) == nil)
    #expect(registry.named([UInt8]().span) == nil)
    #expect(registry.all == [DontHave.registration, metadata])
  }

  @Test func entriesOfExtensionsAreBounded() throws {
    let value = String(repeating: "a", count: ExtendedHandshake.entryLengthLimit)
    #expect(try decode("d13:metadata_note\(value.utf8.count):\(value)e").entries.isEmpty)
    #expect(
      try decode("d13:metadata_note3:abce").entries == [
        .init(key: "metadata_note", value: Array("3:abc".utf8))
      ])
  }

  @Test func piecesAreTakenBack() throws {
    var output: [UInt8] = []
    DontHave.append(PieceIndex(0x0a0b), remoteID: 7, to: &output)
    #expect(output == bytes(hex: "00000006 14 07 00000a0b"))
    // To us it comes under our own id.
    output[5] = DontHave.registration.localID
    let parser = parser()
    guard case .message(.extended(let id, let payload), length: 10) = try parser.next(in: output.span) else {
      Issue.record("not an extended message")
      return
    }
    #expect(id == DontHave.registration.localID)
    #expect(try DontHave.decode(payload.span, pieceCount: 0x0a0c) == PieceIndex(0x0a0b))
    #expect(throws: PeerProtocolError.noSuchPiece(.extended, PieceIndex(0x0a0b))) {
      try DontHave.decode(payload.span, pieceCount: 0x0a0b)
    }
    #expect(try DontHave.decode(payload.span, pieceCount: nil) == PieceIndex(0x0a0b))
    for count in [0, 3, 5] {
      #expect(throws: PeerProtocolError.self) {
        try DontHave.decode([UInt8](repeating: 0, count: count).span, pieceCount: 5)
      }
    }
  }

  @Test func drawnDamageToAHandshakeNeverDoesMoreThanRefuseIt() throws {
    var random = SeededRandom(seed: 10)
    let whole = Array(
      "d1:md11:lt_donthavei7e11:ut_metadatai2ee13:metadata_sizei31235e1:pi6881e4:reqqi250e1:v3:abc6:yourip4:abcde"
        .utf8)
    for count in 0..<whole.count {
      #expect(throws: PeerProtocolError.self) {
        try ExtendedHandshake.decode(Array(whole.prefix(count)).span, registry: registry)
      }
    }
    for _ in 0..<20_000 {
      var damaged = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = .random(
          in: .min ... .max, using: &random)
      }
      guard let handshake = try? ExtendedHandshake.decode(damaged.span, registry: registry) else { continue }
      #expect(handshake.requestQueueLength ?? 1 > 0)
      #expect(handshake.metadataSize ?? 1 > 0)
    }
  }
}
