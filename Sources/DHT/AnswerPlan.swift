/// How long an answer may be, and whether all of it went in.
struct AnswerPlan {
  let limit: Int
  /// Only what matters most: the sender has not proved itself.
  let isFrugal: Bool
  private(set) var length = 0
  /// Something was left out that would have been in a whole answer.
  private(set) var isCut = false
  var isError = false

  init(limit: Int, isFrugal: Bool) {
    self.limit = limit
    self.isFrugal = isFrugal
  }

  /// Bytes that are left.
  var room: Int { limit - length }

  /// Takes room for a part, if there is any.
  mutating func take(_ bytes: Int) -> Bool {
    guard length + bytes <= limit else {
      isCut = true
      return false
    }
    length += bytes
    return true
  }

  /// Takes room for something that is no loss.
  mutating func takeSpare(_ bytes: Int) -> Bool {
    guard length + bytes <= limit else { return false }
    length += bytes
    return true
  }

  /// Takes room for up to `count` equal parts after a `header`, within `share` bytes of what is left. Returns how many.
  mutating func takeParts(_ count: Int, of size: Int, header: Int, share: Int? = nil) -> Int {
    guard count > 0 else { return 0 }
    let available = min(room, share ?? room) - header
    let taken = max(0, min(count, available / size))
    if taken < count { isCut = true }
    if taken > 0 { length += header + taken * size }
    return taken
  }
}
