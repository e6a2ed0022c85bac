import Foundation

/// Stacks as a picture: each frame a box as wide as the share of samples it was part of, callers below.
struct FlameGraph {
  private final class Node {
    var weight = 0
    var children: [String: Node] = [:]
  }

  private let root = Node()
  private let title: String
  private let depth: Int

  private static let width = 1200.0
  private static let row = 17.0
  private static let margin = 10.0
  /// Boxes thinner than this are left out.
  private static let thinnest = 0.3

  init(_ stacks: Stacks, title: String) {
    self.title = title
    depth = stacks.weights.keys.map(\.count).max() ?? 0
    for (frames, weight) in stacks.weights {
      var node = root
      node.weight += weight
      for frame in frames {
        let next = node.children[frame] ?? Node()
        node.children[frame] = next
        next.weight += weight
        node = next
      }
    }
  }

  var svg: String {
    let height = Double(depth + 3) * Self.row + 2 * Self.margin
    var lines = [
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(Int(Self.width))\" height=\"\(Int(height))\" "
        + "font-family=\"sans-serif\" font-size=\"11\">",
      "<rect width=\"100%\" height=\"100%\" fill=\"#fdfdf5\"/>",
      "<text x=\"\(Self.margin)\" y=\"\(Self.margin + 12)\" font-size=\"15\">\(Self.escape(title))</text>",
    ]
    let scale = (Self.width - 2 * Self.margin) / Double(max(1, root.weight))
    draw(root, at: Self.margin, bottom: height - Self.margin, scale: scale, into: &lines)
    lines.append("</svg>")
    return lines.joined(separator: "\n") + "\n"
  }

  private func draw(_ node: Node, at left: Double, bottom: Double, scale: Double, into lines: inout [String])
  {
    var left = left
    for (name, child) in node.children.sorted(by: { $0.key < $1.key }) {
      let width = Double(child.weight) * scale
      defer { left += width }
      guard width >= Self.thinnest else { continue }
      let top = bottom - Self.row
      let share = String(format: "%.2f", Double(child.weight) / Double(max(1, root.weight)) * 100)
      let text = Self.escape(name)
      lines.append(
        "<g><title>\(text): \(share) % (\(child.weight))</title>"
          + String(
            format: "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%@\" rx=\"2\"/>", left,
            top,
            max(0.2, width - 0.4), Self.row - 1, Self.colour(name)))
      let letters = Int((width - 6) / 6.2)
      if letters >= 3 {
        let shown = name.count > letters ? String(name.prefix(letters - 1)) + "…" : name
        lines.append(
          String(format: "<text x=\"%.1f\" y=\"%.1f\">", left + 3, bottom - 5) + Self.escape(shown)
            + "</text>")
      }
      lines.append("</g>")
      draw(child, at: left, bottom: top, scale: scale, into: &lines)
    }
  }

  /// A warm colour that stays the same for a name.
  private static func colour(_ name: String) -> String {
    let hash = name.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
    return "rgb(\(205 + hash % 50),\(90 + hash / 50 % 110),\(40 + hash / 5500 % 50))"
  }

  static func escape(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;")
  }
}
