"""A process that does nothing, in one of several ways, until it is woken; then it
allocates once.

usage: idle.py accept | sleep | pause | select | blocked | spinning
"""

import ctypes
import select
import signal
import socket
import sys
import time

from harness import HOLDING, N, P, say, serve

libc = ctypes.CDLL(None)
malloc = libc.malloc
malloc.restype = P


class Woken(Exception):
    pass


def wake(*_):
    raise Woken


signal.signal(signal.SIGUSR1, wake)


def accept():
    listener = socket.create_server(("127.0.0.1", 0))
    say("port %d" % listener.getsockname()[1])
    listener.accept()[0].close()


def forever(wait):
    try:
        wait()
    except Woken:
        return
    raise SystemExit("the wait ended by itself")


WAYS = {
    "accept": accept,
    "sleep": lambda: forever(lambda: time.sleep(3600)),
    "pause": lambda: forever(signal.pause),
    "select": lambda: forever(lambda: select.select([], [], [], 3600)),
    # The GIL is held all the while.
    "blocked": HOLDING.block_until_input,
    "spinning": HOLDING.spin_until_input,
}


def idle():
    say("idling")
    WAYS[sys.argv[1]]()
    say("woken")


say("ready")
idle()
malloc(N(40001))  # site:40001
say("did allocate")
# What woke it from a C call is still in its input.
serve({"wake": lambda: None})
