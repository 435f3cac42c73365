"""Known sequences of allocations. Sizes identify the call sites.

usage: sequences.py [mappings | threads]    what else the process holds
"""

import ctypes
import mmap
import sys
import threading
import time

from harness import HELPER as h
from harness import N, P, open_log, serve

LANES = 16
THREADS = 8
PAGE = 4096

open_log(LANES)
h.store_table()
h.start_worker()

# Pointers obtained before the attach.
libc = ctypes.CDLL(None)
early_malloc = ctypes.CFUNCTYPE(P, N)(ctypes.cast(libc.malloc, P).value)
early_free = ctypes.CFUNCTYPE(None, P)(ctypes.cast(libc.free, P).value)


def functions():
    """Every function once, each from a line of its own."""
    blocks = [
        h.do_malloc(0, N(40001)),  # site:40001
        h.do_calloc(0, N(1), N(40003)),  # site:40003
        h.do_calloc(0, N(3), N(13335)),  # site:40005
        h.do_realloc(0, P(h.do_malloc(0, N(40007))), N(40009)),  # site:40007  site:40009
        h.do_realloc(0, None, N(40011)),  # site:40011
        h.do_reallocarray(0, None, N(3), N(13339)),  # site:40017
        h.do_posix_memalign(0, N(64), N(40019)),  # site:40019
        h.do_aligned_alloc(0, N(64), N(40021)),  # site:40021
        h.do_memalign(0, N(128), N(40023)),  # site:40023
        h.do_valloc(0, N(40025)),  # site:40025
        h.do_pvalloc(0, N(40027)),  # site:40027
    ]
    for block in blocks:
        h.do_free(0, P(block))


def oddities():
    """Calls that fail, or that are something else than they seem."""
    block = h.do_malloc(0, N(40101))  # site:40101
    failures = h.failing_realloc(P(block)) + h.failing_malloc() + h.failing_calloc() + h.errno_survives()
    failures += h.failing_posix_memalign() + h.failing_aligned_allocs()
    failures += h.realloc_to_nothing(0, P(block))
    return failures


def sized_frees():
    """C23's, where there are any."""
    assert h.has_sized_frees()
    h.do_free_sized(0, P(h.do_malloc(0, N(40151))), N(40151))  # site:40151
    h.do_free_aligned_sized(0, P(h.do_aligned_alloc(0, N(64), N(40192))), N(64), N(40192))  # site:40192


def mappings():
    """Mappings: whole, grown, shrunk, cut, covered."""
    first = h.do_mmap(0, N(41 * PAGE))  # site:167936
    first = h.do_mremap(0, P(first), N(41 * PAGE), N(4099 * PAGE))  # site:16789504
    first = h.do_mremap(0, P(first), N(4099 * PAGE), N(43 * PAGE))  # site:176128
    h.do_munmap(0, P(first), N(7 * PAGE), N(11 * PAGE))
    h.do_munmap(0, P(first), N(0), N(7 * PAGE))
    h.do_munmap(0, P(first), N(18 * PAGE), N(25 * PAGE))
    second = h.do_mmap64(0, N(47 * PAGE))  # site:192512
    h.do_mmap_over(0, P(second), N(8 * PAGE), N(13 * PAGE))  # site:53248
    failures = h.failing_munmap(P(second)) + h.failing_mmap() + h.failing_mremap(P(second))
    h.do_munmap(0, P(second), N(0), N(47 * PAGE))
    third = h.do_mmap_stack(0, N(53 * PAGE))  # site:217088
    h.do_munmap(0, P(third), N(0), N(53 * PAGE))
    return failures


def pointers():
    """Through pointers that existed before the attach."""
    h.table_free(0, P(h.table_malloc(0, N(40201))))  # site:40201
    early_free(early_malloc(40203))  # site:40203


def c_threads():
    """Threads without a Python state; one from before the attach."""
    h.in_c_thread(1, N(40301))
    h.ask_worker(2, N(40303))


def recycled():
    """Threads whose thread pointers are used again by the next."""
    return h.in_c_threads(1, 50, N(40501))


def nanoseconds():
    """`time.perf_counter_ns`, which 3.7 brought."""
    return int(time.perf_counter() * 1e9)


def moments():
    """Two allocations, and between which limits the time between them lies."""
    before_first = nanoseconds()
    h.do_free(0, P(h.do_malloc(0, N(40401))))  # site:40401
    after_first = nanoseconds()
    time.sleep(0.5)
    before_second = nanoseconds()
    h.do_free(0, P(h.do_malloc(0, N(40403))))  # site:40403
    return "%d %d" % (before_second - after_first, nanoseconds() - before_first)


def storm(rounds="1000"):
    """Eight threads; most blocks are freed by another thread."""
    threads = [
        threading.Thread(target=h.storm, args=(3 + at, 3 + THREADS, int(rounds), N(45000 + 2 * at)))
        for at in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    h.empty_mailboxes(0)


def hold(what):
    """Makes the process as large as asked, for as long as it lives."""
    if what == "mappings":
        return [mmap.mmap(-1, 64 << 20) for _ in range(64)]
    if what == "threads":
        waiting = threading.Event()
        for _ in range(200):
            threading.Thread(target=waiting.wait, daemon=True).start()
        return waiting
    raise SystemExit("what is %s?" % what)


held = [hold(what) for what in sys.argv[1:]]
serve(
    {
        "functions": functions,
        "oddities": oddities,
        "sized_frees": sized_frees,
        "mappings": mappings,
        "pointers": pointers,
        "c_threads": c_threads,
        "recycled": recycled,
        "moments": moments,
        "storm": storm,
    }
)
