/// libFuzzer's own loop, from the runtime that `-sanitize=fuzzer` links.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ argumentCount: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ one: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// The target of this process. Set once, before the loop begins; libFuzzer has one thread.
private nonisolated(unsafe) var target: (([UInt8]) -> Void)?

/// Gives `target` one input after the other until the time is over. An input at which it traps, is caught by the address
/// sanitizer, takes too long or too much memory ends the process, and is left in a file.
public func fuzz(_ one: @escaping ([UInt8]) -> Void) -> CInt {
  target = one
  var count = CommandLine.argc
  var arguments = CommandLine.unsafeArgv
  return runDriver(&count, &arguments) { start, count in
    target?(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
  }
}
