"""Blocks of libc's malloc from functions with known figures."""

import ctypes
import os

from harness import N, P, serve

libc = ctypes.CDLL(None)
malloc, free = libc.malloc, libc.free
malloc.restype = P
#: Filled from the front, so that it never grows.
kept = [None] * 100_000
count = [0]


def leak(blocks):
    """The n-th has 7000 + n % 100 bytes."""
    for number in range(int(blocks)):
        kept[count[0]] = malloc(N(7000 + number % 100))
        count[0] += 1


def churn(blocks):
    for number in range(int(blocks)):
        free(P(malloc(N(3000 + number % 7))))


def wave(blocks):
    """All at one time, then none."""
    first = count[0]
    for at in range(int(blocks)):
        kept[first + at] = malloc(N(100_000))
    for at in range(int(blocks)):
        free(P(kept[first + at]))


def fork(children):
    """The n-th keeps 10 n blocks, and ends."""
    pids = []
    for number in range(1, int(children) + 1):
        pid = os.fork()
        if pid == 0:
            leak(10 * number)
            os._exit(0)
        assert os.waitpid(pid, 0) == (pid, 0)
        pids.append(str(pid))
    return " ".join(pids)


serve({"leak": leak, "churn": churn, "wave": wave, "fork": fork})
