import Reactor
import Testing

@Suite struct SocketAddressTests {
  static let printed: [(String, String)] = [
    ("127.0.0.1:6881", "127.0.0.1:6881"),
    ("0.0.0.0:0", "0.0.0.0:0"),
    ("255.255.255.255:65535", "255.255.255.255:65535"),
    ("[::1]:6881", "[::1]:6881"),
    ("[::]:1", "[::]:1"),
    ("[2001:DB8:0:0:1:0:0:1]:80", "[2001:db8::1:0:0:1]:80"),
    ("[2001:db8:0:1:1:1:1:1]:80", "[2001:db8:0:1:1:1:1:1]:80"),
    ("[1:2:3:4:5:6:7::]:80", "[1:2:3:4:5:6:7:0]:80"),
    ("[::2:3:4:5:6:7:8]:80", "[0:2:3:4:5:6:7:8]:80"),
    ("[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]:80"),
    ("[64:ff9b::192.0.2.33]:80", "[64:ff9b::c000:221]:80"),
    ("[fe80::1%1]:80", "[fe80::1%1]:80"),
    ("[fe80::1%lo]:80", "[fe80::1%1]:80"),
    ("[0001:0002::0008]:9", "[1:2::8]:9"),
  ]

  @Test(arguments: printed)
  func parsesAndPrints(_ text: String, _ wanted: String) throws {
    let address = try #require(SocketAddress(parsing: text))
    #expect(address.description == wanted)
    #expect(SocketAddress(parsing: wanted) == address)
    #expect(SocketAddress(host: address.host, port: address.port) == address)
  }

  static let refused = [
    "", ":", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4:1 ", "1.2.3:80",
    "1.2.3.4.5:80",
    "1.2.3.256:80", "01.2.3.4:80", "1.2.3.0x4:80", "localhost:80", "::1:80", "[::1]", "[::1]80", "[::1:80",
    "[1.2.3.4]:80",
    "[:1]:80", "[1:]:80", "[1::2::3]:80", "[:::]:80", "[1:2:3:4:5:6:7]:80", "[1:2:3:4:5:6:7:8:9]:80",
    "[1:2:3:4:5:6:7:8::]:80", "[12345::]:80", "[g::]:80", "[1.2.3.4::]:80", "[::1.2.3]:80", "[fe80::1%]:80",
    "[fe80::1%0]:80", "[fe80::1%no-such-interface]:80", "[]:80",
    "[" + String(repeating: "1", count: 100_000) + "]:80",
  ]

  @Test(arguments: refused)
  func refuses(_ text: String) {
    #expect(SocketAddress(parsing: text) == nil)
  }

  @Test func mappedAddressesUnmap() throws {
    let mapped = try #require(SocketAddress(parsing: "[::ffff:10.1.2.3]:7"))
    #expect(mapped.unmapped == SocketAddress(parsing: "10.1.2.3:7"))
    let other = try #require(SocketAddress(parsing: "[2001:db8::1]:7"))
    #expect(other.unmapped == other)
    #expect(other.v4 == nil)
    #expect(mapped.bytes == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3])
    #expect(mapped.unmapped.bytes == [10, 1, 2, 3])
    #expect(SocketAddress.any(.v6).isUnspecified && SocketAddress.any(.v4).isUnspecified)
    #expect(!SocketAddress.loopback(.v6).isUnspecified)
  }

  @Test func bindingsAreAddressesOrInterfaces() throws {
    let address = try LocalBinding(parsing: "127.0.0.1")
    #expect(address.allows(.v4) && !address.allows(.v6) && address.device == nil)
    let device = try LocalBinding(parsing: "lo")
    #expect(device.allows(.v4))
    #expect(device.v4?.host == "127.0.0.1")
    #expect(LocalBinding.unrestricted.allows(.v6))
    let error = #expect(throws: ReactorError.self) { try LocalBinding(parsing: "no-such-interface") }
    #expect(error?.description.hasPrefix("cannot use interface no-such-interface: ") == true)
    #expect(throws: ReactorError.self) { try LocalBinding(parsing: "") }
    #expect(throws: ReactorError.self) { try LocalBinding(parsing: "a name far too long for an interface") }
  }
}
