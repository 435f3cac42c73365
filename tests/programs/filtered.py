"""Has its threads filtered by seccomp, as it is told.

`filter ACTION NAME` installs a filter in all threads, `alone ACTION NAME` in one
thread other than the main one; see seccomp.py.
"""

import ctypes
import select
import sys
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


def lines():
    """Its stdin, waited for with a time limit: such a wait goes on by `restart_syscall`."""
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    while poll.poll(1000000):
        yield sys.stdin.readline()


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
    lines(),
)
