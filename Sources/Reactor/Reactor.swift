// The room Reactor.
