import Glibc

/// The errno values this room tells apart, as names that do not need Glibc's overlay at every place.
enum Errno {
  static var wouldBlock: CInt { EAGAIN }
  static var noDevice: CInt { ENODEV }
  static var noMemory: CInt { ENOMEM }
  static var busy: CInt { EBUSY }
  static var familyNotSupported: CInt { EAFNOSUPPORT }
  static var refused: CInt { ECONNREFUSED }
  static var timedOut: CInt { ETIMEDOUT }
  static var addressNotAvailable: CInt { EADDRNOTAVAIL }
}
