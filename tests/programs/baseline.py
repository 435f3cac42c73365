"""Holds memory of every sort before anybody attaches; leaks and churns on demand."""

import ctypes
import mmap
import os
import threading

from harness import SCRATCH, serve

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
kept = []
small = []
held = {}
ended = threading.Event()


def fill_arena(ready):
    """4 MiB in blocks that malloc does not map: from this thread's own arena."""
    for _ in range(64):
        libc.memset(libc.malloc(64 << 10), 1, 64 << 10)
    ready.set()
    ended.wait()


#: Told to madvise(2) for huge pages.
MADV_HUGEPAGE = 14
MIB = 1 << 20


def wait_deep(ready, depth):
    """With pages of its stack in use."""
    if depth > 0:
        return wait_deep(ready, depth - 1)
    ready.set()
    ended.wait()


def want_huge(mapped, size):
    """Where the system has no huge pages, this fails and nothing is different."""
    libc.madvise(ctypes.addressof(ctypes.c_char.from_buffer(mapped)), size, MADV_HUGEPAGE)


def hold_much():
    """Threads, files, the brk heap, huge pages; 24 MiB of the latter two."""
    for _ in range(16):
        ready = threading.Event()
        threading.Thread(target=wait_deep, args=(ready, 100), daemon=True).start()
        ready.wait()
    for number in range(200):
        path = os.path.join(SCRATCH, "mapped-%d" % number)
        with open(path, "wb") as file:
            file.write(b"x" * 20_000)
        with open(path, "r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=(mmap.ACCESS_COPY, mmap.ACCESS_WRITE)[number % 2])
        mapped[0] = 1
        kept.append((mapped, bytes(mapped)))
    for _ in range(8 * MIB // (60 << 10)):
        libc.memset(libc.malloc(60 << 10), 1, 60 << 10)
    huge = mmap.mmap(-1, 16 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    want_huge(huge, 16 * MIB)
    # One part of the last is written to, the other only read: the zero page.
    half = fill(mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), 4 * MIB)
    kept.extend([fill(huge, 16 * MIB), half, sum(half[::4096])])
    # The huge zero page, where there is one; and memory that nobody looks at.
    for is_read in (True, False):
        zeros = mmap.mmap(-1, 200 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        want_huge(zeros, 200 * MIB)
        kept.extend([zeros, sum(zeros[::4096]) if is_read else 0])
    return 24 * MIB


def fill(buffer, size):
    """Writes to it without a copy, which malloc would keep room for."""
    libc.memset(ctypes.addressof(ctypes.c_char.from_buffer(buffer)), 1, size)
    return buffer


def untouched(mib):
    """Memory that nobody has written to or read; where it is."""
    mapped = mmap.mmap(-1, int(mib) * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    kept.append(mapped)
    return ctypes.addressof(ctypes.c_char.from_buffer(mapped))


def block(name, mib):
    """A block that is written to; malloc maps it."""
    held[name] = fill(bytearray(int(mib) * MIB), int(mib) * MIB)


def free(name):
    del held[name]


def map_some(written, whole):
    """A mapping of which only the first part is written to."""
    mapped = mmap.mmap(-1, int(whole) * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    kept.append(fill(mapped, int(written) * MIB))


def hold():
    ready = threading.Event()
    threading.Thread(target=fill_arena, args=(ready,), daemon=True).start()
    ready.wait()
    shared = mmap.mmap(-1, 2 << 20)
    shared.write(b"x" * (2 << 20))
    private = bytearray(b"x" * (20 << 20))
    kept.extend([shared, private])
    return (20 + 4 + 2) << 20


def objects():
    """8 MiB of objects of 64 bytes and more."""
    small.extend([(n, n, n) for n in range(1 << 17)])
    return 8 << 20


def churn():
    return bytearray(1_000_000)  # site:churn


def keep_large():
    kept.append(bytearray(100_000))  # site:large


def keep_small():
    for n in range(1000):
        small.append({"number": n})  # site:small


def leak(times):
    for _ in range(int(times)):
        keep_large()
        keep_small()
        churn()


serve(
    {
        "hold": hold,
        "hold-much": hold_much,
        "objects": objects,
        "leak": leak,
        "untouched": untouched,
        "block": block,
        "free": free,
        "map": map_some,
    }
)
