"""Threads that allocate and keep count, in a file, of what they have done. The
n-th allocation of a thread has 20000 + n % 4096 bytes.
"""

import ctypes
import mmap
import os
import struct
import threading

from harness import SCRATCH, N, P, serve

THREADS = 2
libc = ctypes.CDLL(None)
malloc, free = libc.malloc, libc.free
malloc.restype = P

with open(os.path.join(SCRATCH, "counts"), "w+b") as file:
    file.truncate(4096)
    counts = mmap.mmap(file.fileno(), 4096)


def work(at):
    tid = threading.get_native_id()
    go.wait()
    done = 0
    while True:
        free(P(malloc(N(20000 + done % 4096))))
        done += 1
        struct.pack_into("<QQ", counts, 16 * at, tid, done)


go = threading.Event()
for at in range(THREADS):
    threading.Thread(target=work, args=(at,), daemon=True).start()
serve({"go": go.set})
