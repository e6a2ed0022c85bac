// The room Swarm.
