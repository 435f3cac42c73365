"""Blocks of libc's malloc of known sizes, for recordings of samples."""

import ctypes
import os
import threading

from harness import N, P, serve

libc = ctypes.CDLL(None)
malloc, realloc, free = libc.malloc, libc.realloc, libc.free
malloc.restype = realloc.restype = P
#: Filled from the front, so that it never grows.
kept = [None] * 300_000
count = [0]


def hold(blocks, size):
    """Keeps blocks."""
    for _ in range(int(blocks)):
        kept[count[0]] = malloc(N(int(size)))
        count[0] += 1


def drop():
    """Frees all that is kept."""
    while count[0]:
        count[0] -= 1
        free(P(kept[count[0]]))


def churn(total):
    """Blocks of each of 100 sizes, of so many bytes together, freed at once."""
    for size in range(2000, 12000, 100):
        for _ in range(int(total) // size):
            free(P(malloc(N(size))))


def grow(blocks, to):
    """Blocks that grow by 1000 bytes each time, and are kept."""
    for _ in range(int(blocks)):
        block = None
        for size in range(1000, int(to) + 1, 1000):
            block = realloc(P(block), N(size))
        kept[count[0]] = block
        count[0] += 1


def refuse():
    """Has `realloc` fail for all that is kept; how often."""
    return sum(realloc(P(kept[at]), N(1 << 60)) is None for at in range(count[0]))


def zero():
    """Frees all that is kept by `realloc` to nothing."""
    while count[0]:
        count[0] -= 1
        assert realloc(P(kept[count[0]]), N(0)) is None


def threads(number, blocks, size):
    """Each allocates and frees."""

    def work():
        for _ in range(int(blocks)):
            free(P(malloc(N(int(size)))))

    all = [threading.Thread(target=work) for _ in range(int(number))]
    for thread in all:
        thread.start()
    for thread in all:
        thread.join()


def fork(blocks, size):
    """A child keeps blocks and ends."""
    pid = os.fork()
    if pid == 0:
        hold(blocks, size)
        os._exit(0)
    assert os.waitpid(pid, 0) == (pid, 0)
    return pid


serve({f.__name__: f for f in (hold, drop, churn, grow, refuse, zero, threads, fork)})
