"""Started by `prof run`: does what its first argument says."""

import ctypes
import os
import signal
import sys

KEPT = []
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]


def allocate():
    for number in range(50):
        KEPT.append(malloc(1_000_003 + number))


def wait_for(signals):
    # A handler of Python's could come just before its thread waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    print("waiting", flush=True)
    print("got", int(signal.sigwait(signals)), flush=True)


def main(command, *rest):
    if command == "allocate":
        allocate()
        print("allocated", len(KEPT), sys.stdin.read(), *rest, flush=True)
        print("to stderr", file=sys.stderr, flush=True)
        sys.exit(7)
    elif command == "descriptors":
        print(*sorted(os.listdir("/proc/self/fd"), key=int), flush=True)
    elif command == "signals":
        wait_for([signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP])
        sys.exit(5)
    elif command == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif command == "write":
        allocate()
        with open(rest[0], "w") as file:
            file.write(f"{len(KEPT)} {os.getpid()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
