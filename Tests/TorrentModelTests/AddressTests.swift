import Testing
import TorrentModel

@Suite struct AddressTests {
  @Test(arguments: [
    ("1.2.3.4", "1.2.3.4"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
    ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:db8::8:800:200c:417a", "2001:db8::8:800:200c:417a"),
    ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
    ("::ffff:10.0.0.1", "10.0.0.1"), ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
    ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
  ])
  func readsAndPrints(text: String, expected: String) throws {
    #expect(try #require(IPAddress(text)).description == expected)
  }

  @Test(arguments: [
    "", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.-4", "1..2.3", "a.b.c.d", ":", ":::",
    "1:::2", "::1::",
    "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "::1.2.3", "1.2.3.4::", "::1%eth0", "+1::",
    "1:2:3:4:5:6:7:8::",
    "1:2:3:4:5:6:7:1.2.3.4", String(repeating: "1:", count: 100),
  ])
  func refuses(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test(arguments: [
    ("127.0.0.1", true), ("10.1.2.3", true), ("172.16.0.1", true), ("172.31.255.255", true),
    ("172.32.0.0", false),
    ("192.168.1.1", true), ("169.254.169.254", true), ("100.64.0.1", true), ("100.127.255.255", true),
    ("100.128.0.0", false), ("100.63.255.255", false), ("0.1.2.3", true), ("224.0.0.1", true),
    ("255.255.255.255", true),
    ("240.0.0.1", true), ("8.8.8.8", false), ("::1", true), ("::", true), ("fe80::1", true),
    ("febf::1", true),
    ("fc00::1", true), ("fdff::1", true), ("fec0::1", true), ("ff02::1", true), ("2001:db8::1", false),
    ("::ffff:127.0.0.1", true), ("::127.0.0.1", true), ("64:ff9b::10.0.0.1", true),
    ("64:ff9b::8.8.8.8", false),
    ("2002:7f00:1::", true), ("2002:808:808::", false),
  ])
  func knowsLocalAddresses(text: String, isLocal: Bool) throws {
    #expect(try #require(IPAddress(text)).isLocalOrSpecial == isLocal)
  }

  @Test(arguments: [
    ("1.2.3.4:80", "1.2.3.4:80"), ("[::1]:6881", "[::1]:6881"), ("[::ffff:1.2.3.4]:1", "1.2.3.4:1"),
  ])
  func readsEndpoints(text: String, expected: String) throws {
    #expect(try #require(Endpoint(text)).description == expected)
  }

  @Test(arguments: [
    "", ":", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1", "::1:80", "[::1]",
    "[1.2.3.4:5", "[]:5", "a:5",
  ])
  func refusesEndpoints(text: String) {
    #expect(Endpoint(text) == nil)
  }

  @Test func aLinkLocalAddressKeepsItsInterface() throws {
    let address = try #require(IPAddress("fe80::1"))
    let (plain, second, third) = (
      Endpoint(address: address, port: 1), Endpoint(address: address, port: 1, scope: 2),
      Endpoint(address: address, port: 1, scope: 3)
    )
    #expect(Set([plain, second, third, second.with(port: 2).with(port: 1)]).count == 3)
    #expect(plain < second && second < third && third < plain.with(port: 2))
    #expect(plain.description == "[fe80::1]:1" && second.description == "[fe80::1%2]:1")
    // On the wire it is the same for all: the number means nothing elsewhere.
    var (first, other): ([UInt8], [UInt8]) = ([], [])
    plain.appendCompact(to: &first)
    second.appendCompact(to: &other)
    let read = Endpoint(compactV6: other.span, at: 0)
    #expect(first == other && read == plain)
    // Strangers' words choose no interface of ours.
    #expect(Endpoint("[fe80::1%2]:1") == nil && IPAddress("fe80::1%2") == nil)
    #expect(MemoryLayout<Endpoint>.stride == 24)
  }

  @Test func compactFormsRoundTrip() throws {
    for text in ["1.2.3.4:80", "[2001:db8::5]:65535", "0.0.0.0:0"] {
      let endpoint = try #require(Endpoint(text))
      var bytes: [UInt8] = [7]
      endpoint.appendCompact(to: &bytes)
      #expect(bytes.count == (endpoint.address.isV4 ? 7 : 19))
      let read =
        endpoint.address.isV4
        ? Endpoint(compactV4: bytes.span, at: 1) : Endpoint(compactV6: bytes.span, at: 1)
      #expect(read == endpoint)
      #expect(Endpoint(compactV4: bytes.span, at: bytes.count - 5) == nil)
      #expect(Endpoint(compactV6: bytes.span, at: -1) == nil)
    }
  }
}
