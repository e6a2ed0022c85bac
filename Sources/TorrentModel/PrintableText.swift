/// Text from a stranger, made fit for a terminal, a log line or JSON: names of clients, messages of trackers.
///
/// What is not UTF-8 is replaced, and so is everything that could move the cursor, ring the bell, start a new line
/// or turn the direction of writing around: control characters and invisible format characters become `?`.
public func printableText(_ bytes: Span<UInt8>, lengthLimit: Int) -> String {
  var copy: [UInt8] = []
  for index in 0..<min(bytes.count, max(0, lengthLimit)) { copy.append(bytes[index]) }
  if copy.count < bytes.count {
    // Not in the middle of a character: drop what continues one, then what began it.
    while let last = copy.last, last & 0b1100_0000 == 0b1000_0000 { copy.removeLast() }
    if let last = copy.last, last >= 0b1100_0000 { copy.removeLast() }
  }
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
