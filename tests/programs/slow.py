"""What slow.c, preloaded, is for: two threads that take a block from each other whose free
takes long, and a signal handler that allocates in the middle of malloc.
"""

import ctypes
import threading

from harness import N, P, serve

HELD = 48123
INTERRUPTED = 48124
libc = ctypes.CDLL(None)
libc.malloc.restype = P


def take_turns(rounds):
    for _ in range(rounds):
        libc.free(P(libc.malloc(N(HELD))))


def exchange(rounds):
    threads = [threading.Thread(target=take_turns, args=(int(rounds),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def interrupt(aside):
    """The handler allocates on the thread's own stack, or on another one."""
    assert libc.handle_signals(int(aside)) == 0
    libc.free(P(libc.malloc(N(INTERRUPTED))))


serve({"exchange": exchange, "interrupt": interrupt})
