"""Holds memory of every sort before anybody attaches; leaks and churns on demand."""

import ctypes
import mmap
import threading

from harness import serve

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
kept = []
small = []
ended = threading.Event()


def fill_arena(ready):
    """4 MiB in blocks that malloc does not map: from this thread's own arena."""
    for _ in range(64):
        libc.memset(libc.malloc(64 << 10), 1, 64 << 10)
    ready.set()
    ended.wait()


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


serve({"hold": hold, "objects": objects, "leak": leak})
