#if THREAD_SANITIZER
  import Glibc

  /// A value behind a mutex, as `Synchronization.Mutex` is, on the system's `pthread_mutex_t`.
  ///
  /// Why not the standard one: with Swift 6.3 on Linux the thread sanitizer does not see its locking (a futex of its own)
  /// and reports a race wherever it is used, which hides the real ones. `make sanitize` builds with this one, which costs
  /// two allocations more and behaves the same.
  @safe
  public struct Lock<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    // `value` is touched by the thread that holds `mutex` only; neither pointer ever changes.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    public init(_ initial: consuming sending Value) {
      unsafe mutex = .allocate(capacity: 1)
      unsafe mutex.initialize(to: pthread_mutex_t())
      let error = unsafe pthread_mutex_init(mutex, nil)
      precondition(error == 0, "cannot make a mutex")
      unsafe value = .allocate(capacity: 1)
      unsafe value.initialize(to: initial)
    }

    deinit {
      unsafe value.deinitialize(count: 1)
      unsafe value.deallocate()
      unsafe pthread_mutex_destroy(mutex)
      unsafe mutex.deallocate()
    }

    /// Runs `body` with the value while no other thread has it. Must not be nested.
    public borrowing func withLock<Result: ~Copyable, Failure: Error>(
      _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
      unsafe pthread_mutex_lock(mutex)
      defer { unsafe pthread_mutex_unlock(mutex) }
      return try unsafe body(&value.pointee)
    }
  }
#else
  import Synchronization

  /// A value behind a mutex. The standard library's, except under the thread sanitizer, which cannot see into it.
  public typealias Lock = Mutex
#endif
