/// What the library calls itself.
public enum Release {
  public static let number = "0.1.0"
  /// To trackers and web servers (`User-Agent`), and to peers (`v` of BEP 10).
  public static let userAgent = "Spate/\(number)"
  /// The beginning of our peer ids: two characters for the program, four for the version (BEP 20).
  static let peerIDPrefix: StaticString = "-S80100-"
}
