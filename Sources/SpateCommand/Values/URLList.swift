/// URLs in one argument, separated by commas.
enum URLList {
  /// A comma separates only where another URL begins: one inside a URL is part of it.
  static func split(_ text: String, option: String) throws(CommandFailure) -> [String] {
    var urls: [String] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      if isURL(part) || urls.isEmpty {
        urls.append(String(part))
      } else {
        urls[urls.count - 1] += "," + part
      }
    }
    for url in urls where !isURL(Substring(url)) || url.contains(where: { $0.isWhitespace }) {
      throw CommandFailure(
        .usage, "\(option): '\(Printable.text(url))' is no URL such as udp://tracker.example:6969/announce")
    }
    return urls
  }

  /// A scheme, `://` and something behind it (RFC 3986, section 3.1).
  private static func isURL(_ text: Substring) -> Bool {
    guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://"), text[colon...].count > 3,
      let first = text.first, first.isASCII, first.isLetter
    else { return false }
    return text[..<colon].allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) }
  }
}
