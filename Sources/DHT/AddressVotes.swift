import TorrentModel

/// What others say our address is (BEP 42). One node may lie, so several have to agree.
struct AddressVotes: Sendable {
  private struct Vote: Sendable {
    var voter: UInt64
    var address: IPAddress
  }

  /// Votes that are remembered.
  static let voteLimit = 24
  /// Voters that must agree.
  static let quorum = 5

  private var votes: [Vote] = []

  init() {}

  /// Takes a vote. A subnet has one, its latest; on local networks, where all are in one, every node has.
  ///
  /// - Returns: the address that a quorum and a majority of voters agree on.
  mutating func vote(for address: IPAddress, by voter: Endpoint, rules: AddressRules) -> IPAddress? {
    let name =
      rules.isLocal(voter.address)
      ? voter.address.low << 16 | UInt64(voter.port) : AddressRules.subnet(voter.address)
    votes.removeAll { $0.voter == name }
    if votes.count == Self.voteLimit { votes.removeFirst() }
    votes.append(Vote(voter: name, address: address))
    let agreeing = votes.count { $0.address == address }
    return agreeing >= Self.quorum && agreeing * 2 > votes.count ? address : nil
  }

  mutating func removeAll() { votes.removeAll() }
}
