"""Forks children that allocate blocks of a size that nobody else uses."""

import ctypes
import os

from harness import N, P, serve

libc = ctypes.CDLL(None)
libc.malloc.restype = P


def allocate(size):
    libc.free(P(libc.malloc(N(size))))


def child():
    pid = os.fork()
    if pid == 0:
        for _ in range(2000):
            allocate(47101)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


serve({"child": child, "allocate": lambda: allocate(47103)})
