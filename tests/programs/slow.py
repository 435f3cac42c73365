"""Two threads that take a block from each other whose free takes long (slow.c, preloaded)."""

import ctypes
import threading

from harness import N, P, serve

HELD = 48123
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


serve({"exchange": exchange})
