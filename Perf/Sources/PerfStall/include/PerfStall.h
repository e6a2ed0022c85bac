// libPerfStall.so makes the disk of the process it is preloaded into stand still for a while.
//
// Preload it (LD_PRELOAD) with PERF_STALL=BYTES:SECONDS in the environment. Once so many bytes were written, every read,
// write, sync and allocation of a file waits for the rest of the seconds, whichever thread it comes from. Sockets are not
// concerned. It happens once.
#pragma once
