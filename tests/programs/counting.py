"""Threads of C that allocate as fast as they can and count it (counts.c).

usage: counting.py THREADS
"""

import ctypes
import os
import sys

from harness import N, P, serve

THREADS = int(sys.argv[1])
lib = ctypes.CDLL(os.environ["PROF_TEST_HOSTILE"])
lib.counts_of.restype = ctypes.c_uint64
libc = ctypes.CDLL(None)
libc.malloc.restype = P


def field(which):
    return [lib.counts_of(at, which) for at in range(THREADS)]


def halt():
    """What each thread has done: tid, allocations, frees."""
    lib.counts_halt()
    return " ".join("%d:%d:%d" % lane for lane in zip(field(0), field(1), field(2)))


lib.counts_start(THREADS)
serve(
    {
        "go": lib.counts_go,
        "done": lambda: sum(field(1)) + sum(field(2)),
        "held_up": lambda: sum(field(3)),
        "halt": halt,
        "allocate": lambda size: libc.free(P(libc.malloc(N(int(size))))),
    }
)
