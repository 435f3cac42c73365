"""A target whose events are counted: `stepped.py HELPER`.

A line on stdin names a scenario, which brackets each of its events with breakpoints
(`counted_pair`). What a section costs depends on the Python stack and on that of the
event before:

    unchanged DEPTH    the stack is as it was
    fresh DEPTH        in turn: so many frames are gone, so many are new
"""

import ctypes
import sys
from itertools import repeat

ROUNDS = 6
SIZE = 700

pair = ctypes.PyDLL(sys.argv[1]).counted_pair
pair.argtypes = [ctypes.c_size_t]


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
        pair(SIZE)


def down(levels):
    down(levels - 1) if levels > 1 else pair(SIZE)


def fresh(levels):
    for _ in repeat(None, ROUNDS):
        pair(SIZE)
        down(levels)


SCENARIOS = {
    "unchanged": lambda levels: under(int(levels), unchanged),
    "fresh": lambda levels: fresh(int(levels)),
}

print("ready", flush=True)
for line in iter(sys.stdin.readline, ""):
    name, *arguments = line.split()
    SCENARIOS[name](*arguments)
    print("{}", flush=True)
