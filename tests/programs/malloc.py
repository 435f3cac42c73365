"""Leaves holes in malloc's arenas, and says what malloc itself says of them."""

import ctypes
import threading

from harness import serve

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
ended = threading.Event()
#: Larger than what threads cache, smaller than what is mapped.
SIZES = [2000, 5000, 20_000, 60_000]
COUNT = 400


class Figures(ctypes.Structure):
    """`struct mallinfo2`, mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def leave_holes():
    """Every other block is free again."""
    blocks = [libc.malloc(size) for _ in range(COUNT) for size in SIZES]
    for block in blocks[::2]:
        libc.free(block)
    # Free as fast bins have it: more of one size than a thread caches.
    small = [libc.malloc(40) for _ in range(64)]
    for block in small[::2]:
        libc.free(block)


def in_a_thread(ready):
    leave_holes()
    ready.set()
    ended.wait()


def holes(threads):
    leave_holes()
    for _ in range(int(threads)):
        ready = threading.Event()
        threading.Thread(target=in_a_thread, args=(ready,), daemon=True).start()
        ready.wait()


def figures():
    libc.mallinfo2.restype = Figures
    found = libc.mallinfo2()
    return "%d %d %d" % (found.arena, found.fordblks, found.keepcost)


serve({"holes": holes, "figures": figures})
