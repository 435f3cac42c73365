"""Has its threads filtered by seccomp, as it is told.

`filter ACTION NAME` installs a filter in all threads, `alone ACTION NAME` in one
thread other than the main one; see seccomp.py.
"""

import ctypes
import threading

from harness import HELPER, N, P, serve
from seccomp import TSYNC, filter_of, install

go = threading.Event()


def alone(action, name):
    done = threading.Event()

    def run():
        install(filter_of(action, name), 0)
        done.set()
        go.wait()

    threading.Thread(target=run, daemon=True).start()
    done.wait()


def allocate(size):
    libc = ctypes.CDLL(None)
    libc.malloc.restype = P
    libc.free(P(libc.malloc(N(int(size)))))


def check():
    state = ctypes.c_uint64(5)
    return HELPER.checked_load(ctypes.byref(state), ctypes.c_uint64(2000)) == 0


serve(
    {
        "filter": lambda action, name: install(filter_of(action, name), TSYNC),
        "alone": alone,
        "allocate": allocate,
    },
    check,
)
