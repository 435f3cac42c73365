"""Daemon threads that allocate while the interpreter ends."""

import ctypes
import threading

from harness import N, P, serve

libc = ctypes.CDLL(None)
libc.malloc.restype = P


rounds = [0]


def work():
    while True:
        rounds[0] += 1
        libc.free(P(libc.malloc(N(40001))))  # site:40001
        [str(number) for number in range(100)]


for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
serve({"rounds": lambda: rounds[0]})
