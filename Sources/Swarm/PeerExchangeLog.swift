import PeerWire
import TorrentModel

/// Who came and who went, in order: one record of it serves all peers, each of which only remembers how far it was told.
/// A peer's message costs what happened since its last one, not how many peers there are (BEP 11).
struct PeerExchangeLog {
  struct Contact {
    var endpoint: Endpoint
    var key: PeerKey
    /// The number of the event by which it came.
    var number: UInt64
  }

  private enum Event {
    case came(Endpoint, PeerKey)
    /// It had come with event `number`.
    case went(Endpoint, number: UInt64)
  }

  /// Events by number, from ``first`` on.
  private var events: [Event] = []
  private(set) var first: UInt64 = 0
  /// Contacts that are there, by the number they came with; gaps where one went.
  private var present: [Contact?] = []
  private var places: [Endpoint: Int] = [:]

  /// The number of the event to come.
  var next: UInt64 { first + UInt64(events.count) }
  var count: Int { places.count }
  var eventCount: Int { events.count }

  func contact(_ endpoint: Endpoint) -> Contact? { places[endpoint].flatMap { present[$0] } }

  /// False if somebody is there already.
  mutating func came(_ endpoint: Endpoint, _ key: PeerKey) -> Bool {
    guard places[endpoint] == nil else { return false }
    places[endpoint] = present.count
    present.append(Contact(endpoint: endpoint, key: key, number: next))
    events.append(.came(endpoint, key))
    return true
  }

  mutating func went(_ endpoint: Endpoint) {
    guard let place = places.removeValue(forKey: endpoint), let contact = present[place] else { return }
    present[place] = nil
    events.append(.went(endpoint, number: contact.number))
    guard present.count > 32, places.count * 2 < present.count else { return }
    present.removeAll { $0 == nil }
    for (place, contact) in present.enumerated() {
      if let contact { places[contact.endpoint] = place }
    }
  }

  /// How far a peer was told.
  struct Bookmark {
    /// Events before this one are told, or came before the peer.
    var next: UInt64
    /// Of what was there when the peer came, everything from this event's number on is told.
    var since: UInt64
  }

  /// What a newcomer starts with.
  var newcomer: Bookmark { Bookmark(next: next, since: next) }

  /// What a peer is to be told, and how far it is then: what happened since its last message and, where there is room,
  /// what was there before it came, the latest first.
  func news(
    _ bookmark: inout Bookmark, limit: Int, tells: (Contact) -> Bool
  ) -> (added: [Contact], dropped: [Endpoint]) {
    var added: [Endpoint: Contact] = [:]
    var order: [Endpoint] = []
    var dropped: [Endpoint: Int] = [:]
    // Those that went and came back.
    var returned: Set<Endpoint> = []
    let start = bookmark.next
    var number = max(bookmark.next, first)
    while number < next, order.count < limit, dropped.count < limit {
      switch events[Int(number - first)] {
      case .came(let endpoint, _):
        if dropped.removeValue(forKey: endpoint) != nil {
          // Nothing to tell, unless it goes again.
          returned.insert(endpoint)
        } else if let contact = contact(endpoint), contact.number == number, tells(contact) {
          added[endpoint] = contact
          order.append(endpoint)
        }
      case .went(let endpoint, let came):
        // Whoever came and went since, or came before the peer and was not told of, is no loss to it.
        if returned.remove(endpoint) != nil || (came < start && came >= bookmark.since) {
          dropped[endpoint] = Int(number - first)
        }
      }
      number += 1
    }
    bookmark.next = number
    if order.count < limit, bookmark.since > 0 {
      // Found by bisection: contacts stand in the order of their numbers, gaps between them.
      var place = place(before: bookmark.since)
      var since = bookmark.since
      while place > 0, order.count < limit {
        place -= 1
        guard let contact = present[place] else { continue }
        since = contact.number
        guard tells(contact), added[contact.endpoint] == nil, dropped[contact.endpoint] == nil else {
          continue
        }
        added[contact.endpoint] = contact
        order.append(contact.endpoint)
      }
      bookmark.since = place == 0 ? 0 : since
    }
    let gone = dropped.sorted { $0.value < $1.value }.map(\.key)
    return (order.compactMap { added[$0] }, gone)
  }

  /// How many places of ``present`` hold contacts, or gaps, from before event `number`.
  private func place(before number: UInt64) -> Int {
    var (low, high) = (0, present.count)
    while low < high {
      var middle = (low + high) / 2
      // A gap says nothing: the next contact to the left does.
      while middle > low, present[middle] == nil { middle -= 1 }
      guard let contact = present[middle] else {
        // Nothing but gaps to the left of here.
        low = (low + high) / 2 + 1
        continue
      }
      if contact.number < number { low = (low + high) / 2 + 1 } else { high = middle }
    }
    return low
  }

  /// Forgets what happened before event `number`.
  mutating func trim(before number: UInt64) {
    guard number > first else { return }
    let count = min(events.count, Int(number - first))
    events.removeFirst(count)
    first += UInt64(count)
  }
}
