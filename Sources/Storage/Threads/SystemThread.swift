import CDisk
import Glibc

/// A counting semaphore of the system.
@safe
final class Semaphore: @unchecked Sendable {
  // The system makes operations on the semaphore at this address safe between threads; the address never changes.
  private let handle: UnsafeMutablePointer<sem_t>

  init() {
    unsafe handle = .allocate(capacity: 1)
    unsafe sem_init(handle, 0, 0)
  }

  deinit {
    unsafe sem_destroy(handle)
    unsafe handle.deallocate()
  }

  func post() { unsafe sem_post(handle) }

  func wait() { unsafe spate_semaphore_wait(handle, -1) }

  /// Returns false when it was not posted within `nanoseconds`.
  func wait(nanoseconds: Int64) -> Bool { unsafe spate_semaphore_wait(handle, max(0, nanoseconds)) }
}

/// A thread of the system.
struct Thread: Sendable {
  // Only passed to `pthread_join` or `pthread_detach`, once.
  private let handle: pthread_t

  private final class Body {
    let name: String
    let run: @Sendable () -> Void
    init(name: String, run: @escaping @Sendable () -> Void) {
      self.name = name
      self.run = run
    }
  }

  /// Starts a thread. Returns nil when the system has none left.
  init?(name: String, _ run: @escaping @Sendable () -> Void) {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    // Far more than the deepest path needs; the default of 8 MiB for each is only address space, but it counts under
    // `ulimit -v`.
    unsafe pthread_attr_setstacksize(&attributes, 1 << 20)
    let body = unsafe Unmanaged.passRetained(Body(name: name, run: run))
    var handle = pthread_t()
    let code = unsafe pthread_create(
      &handle, &attributes,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
        unsafe spate_thread_name(body.name)
        body.run()
        return nil
      }, body.toOpaque())
    guard code == 0 else {
      unsafe body.release()
      return nil
    }
    self.handle = handle
  }

  func join() { pthread_join(handle, nil) }

  /// Nobody will join it.
  func detach() { pthread_detach(handle) }
}

/// Monotonic time in nanoseconds.
func monotonicNow() -> Int64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Open files the process may have, as far as this room is concerned: half of its limit, the rest is for sockets.
func defaultFileLimit() -> Int {
  var limit = rlimit()
  guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 256 }
  return max(16, Int(min(limit.rlim_cur, 1 << 16)) / 2)
}

/// Nanoseconds since 1970, the clock that files' times of change are taken from.
func realTimeNow() -> Int64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_REALTIME, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Processors online.
func coreCount() -> Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
