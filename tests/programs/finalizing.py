"""Allocates once while it works, and once while the interpreter ends, in Python code both
times.
"""

import ctypes
import sys

from harness import N, P, serve

libc = ctypes.CDLL(None)
libc.malloc.restype = P


class Last:
    """Lives in a module, so it is finalized after the interpreter has begun to end."""

    def __init__(self, malloc, size):
        self.malloc, self.size = malloc, size

    def __del__(self):
        self.malloc(self.size)


def allocate():
    libc.malloc(N(47001))  # site:47001


sys.modules["last"] = type(sys)("last")
sys.modules["last"].last = Last(libc.malloc, N(47003))
serve({"allocate": allocate})
