/// Text from a stranger, made fit for a terminal, a log line or JSON: names of clients, messages of trackers.
///
/// What is not UTF-8 is replaced, and so is everything that could move the cursor, ring the bell, start a new line
/// or turn the direction of writing around: control characters and invisible format characters become `?`.
public func printableText(_ bytes: Span<UInt8>, lengthLimit: Int) -> String {
  var length = min(bytes.count, max(0, lengthLimit))
  // Not in the middle of a character: back to where it begins, which is three bytes away at most.
  for _ in 0..<3 where length > 0 && length < bytes.count && bytes[length] & 0b1100_0000 == 0b1000_0000 {
    length -= 1
  }
  let copy = (0..<length).map { bytes[$0] }
  var text = String.UnicodeScalarView()
  for scalar in String(decoding: copy, as: UTF8.self).unicodeScalars {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
      text.append("?")
    default: text.append(scalar)
    }
  }
  if copy.count < bytes.count { text.append("…") }
  return String(text)
}
