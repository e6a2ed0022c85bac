import Reactor
import Storage
import TorrentModel

extension SocketAddress {
  /// The same place, as sockets want it.
  init(_ endpoint: Endpoint) {
    if endpoint.address.isV4 {
      self.init(v4: endpoint.address.v4, port: endpoint.port)
    } else {
      self.init(
        v6High: endpoint.address.high, low: endpoint.address.low, port: endpoint.port,
        scope: UInt32(endpoint.scope))
    }
  }
}

extension Endpoint {
  /// The same place, as the pure rooms name it. The scope of a link-local address is lost.
  init(_ address: SocketAddress) {
    if let v4 = address.v4 {
      self.init(address: IPAddress(v4: v4), port: address.port)
    } else {
      self.init(address: IPAddress(high: address.high, low: address.low), port: address.port)
    }
  }

  /// The same place with the interface of a link-local IPv6 address: what is needed to connect to a neighbour. Numbers of
  /// interfaces are small; one beyond 65,535 is lost.
  init(keepingScopeOf address: SocketAddress) {
    self.init(address)
    if address.family == .v6, self.address.isLinkLocal { scope = UInt16(exactly: address.scope) ?? 0 }
  }
}

extension TorrentFailure {
  init(_ failure: StorageFailure) {
    let kind: Kind =
      switch failure.cause {
      case .diskFull: .diskFull
      case .fileMissing: .fileMissing
      case .fileTruncated, .wrongKind, .symbolicLink: .fileChanged
      case .permission: .permission
      case .inputOutput: .inputOutput
      case .fileTooLarge, .tooManyFiles, .other: .other
      }
    self.init(kind: kind, path: failure.path, description: failure.description)
  }
}

extension WriteMode {
  init(_ mode: DiskWriteMode) {
    self =
      switch mode {
      case .auto: .automatic
      case .cached: .cached
      case .direct: .direct
      }
  }
}

extension FileAllocation {
  init(_ mode: AllocationMode) {
    self =
      switch mode {
      case .sparse: .ahead
      case .full: .full
      case .none: .none
      }
  }
}
