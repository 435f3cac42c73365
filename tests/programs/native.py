"""Allocations from C that is called by Python that is called by C."""

import ctypes
import os
import sys
import threading

from harness import SCRATCH, say, serve

N = ctypes.c_size_t
CALLBACK = ctypes.CFUNCTYPE(None)
sys.setrecursionlimit(5000)


def load(path):
    library = ctypes.CDLL(path)
    assert library.open_backtraces(os.path.join(SCRATCH, "backtraces." + os.path.basename(path)).encode())
    return library


h = load(os.environ["PROF_TEST_NATIVE"])
#: Holding the lock.
holding = ctypes.PyDLL(os.environ["PROF_TEST_NATIVE"])


def plain():
    h.middle(N(40001))
    sorted([1], key=lambda _: h.middle(N(40003)))
    h.sized(N(40005), N(300))
    h.sized(N(40007), N(5000))
    holding.middle(N(40009))


def callers():
    for function, size in ((h.by_one, 40071), (h.by_another, 40073), (h.by_one, 40075)):
        function(N(size))


def recursion(depth=150):
    """C and Python in turn. Each leaf is reached with the stack before still known."""
    if depth:
        return max([depth], key=lambda _: recursion(depth - 1))
    for size in (40011, 40013, 40015):
        h.middle(N(size))
    sorted([1], key=lambda _: h.middle(N(40017)))
    h.middle(N(40019))


def generators():
    def numbers():
        h.middle(N(40021))
        yield 1
        h.middle(N(40023))
        yield from more()

    def more():
        h.middle(N(40025))
        yield 2

    def resume(generator):
        return next(generator)

    generator = numbers()
    next(generator)
    resume(generator)
    list(generator)


class Dying:
    def __del__(self):
        h.middle(N(self.size))


def destructors():
    """Python that runs while a frame goes."""

    def holder(size):
        dying = Dying()
        dying.size = size

    holder(40031)
    sorted([40033], key=holder)


def threads():
    thread = threading.Thread(target=lambda: h.middle(N(40041)))
    thread.start()
    thread.join()
    h.thread_marked(N(40043))
    h.thread_callback(CALLBACK(lambda: h.middle(N(40045))))
    h.call_back(CALLBACK(lambda: h.middle(N(40047))))


def signals():
    h.signal_marked(N(40051))
    h.signal_elsewhere(N(40053))
    h.middle(N(40055))


late = None


def load_late(path):
    """A library that is loaded while recording."""
    global late
    late = load(path)


def use_late():
    late.middle(N(40061))


def unload_late():
    global late
    import _ctypes

    _ctypes.dlclose(late._handle)
    late = None


serve({f.__name__: f for f in (plain, callers, recursion, generators, destructors, threads, signals, load_late, use_late, unload_late)})
