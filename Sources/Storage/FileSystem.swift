/// The system calls Storage makes, as a seam where tests put failing disks.
public protocol FileSystem: Sendable {}
/// The machine's own file system.
public struct RealFileSystem: FileSystem { public init() {} }
