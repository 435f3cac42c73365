"""A target whose events are counted: `stepped.py HELPER KIND`.

A line on stdin names a scenario, which brackets each of its events with breakpoints
(`counted_pair`). What a section costs depends on the Python stack and on that of the
event before. The kind is `block` (malloc) or `object` (PyObject_Malloc).

    unchanged DEPTH    the stack is as it was
    moved DEPTH        the top frame is at another instruction
    fresh DEPTH        in turn: so many frames are gone, so many are new
"""

import ctypes
import sys
from functools import partial
from itertools import repeat

ROUNDS = 6
KINDS = {
    "block": ("malloc", "free", 700),
    "object": ("PyObject_Malloc", "PyObject_Free", 70),
}

counted_pair = ctypes.PyDLL(sys.argv[1]).counted_pair
counted_pair.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
allocate, release, size = KINDS[sys.argv[2]]
arguments = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p) for name in (allocate, release)]
pair = partial(counted_pair, *arguments, size)


def depth():
    frame, count = sys._getframe(1), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


def under(levels, action):
    """Runs `action` in a frame at that depth."""
    return under(levels, action) if depth() < levels - 1 else action()


def unchanged():
    for _ in repeat(None, ROUNDS):
        pair()


def moved():
    for number in range(ROUNDS):
        pair() if number % 2 else pair()


def down(levels):
    down(levels - 1) if levels > 1 else pair()


def fresh(levels):
    for _ in repeat(None, ROUNDS):
        pair()
        down(levels)


SCENARIOS = {
    "unchanged": lambda levels: under(int(levels), unchanged),
    "moved": lambda levels: under(int(levels), moved),
    "fresh": lambda levels: fresh(int(levels)),
}

print("ready", flush=True)
for line in iter(sys.stdin.readline, ""):
    name, levels = line.split()
    SCENARIOS[name](levels)
    print("{}", flush=True)
