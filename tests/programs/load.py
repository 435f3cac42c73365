"""Threads that allocate as fast as they can and check what they get.

usage: load.py THREADS
"""

import ctypes
import os
import sys
import threading
import time
import warnings

from harness import HELPER as h
from harness import serve

# fork() beside threads, which 3.12 warns of, is meant here.
warnings.simplefilter("ignore", DeprecationWarning)
stopping = threading.Event()
wrong = [0]
rounds = [0]


def work(seed):
    state = ctypes.c_uint64(seed)
    while not stopping.is_set():
        wrong[0] += h.checked_load(ctypes.byref(state), ctypes.c_uint64(2000))
        text = [str(number) * 3 for number in range(200)]
        wrong[0] += "".join(text).count("199199199") != 1
        rounds[0] += 1


def rate():
    """Nanoseconds that one round costs, without anybody else: the best of several."""
    state = ctypes.c_uint64(7)
    best = 1 << 62
    for _ in range(20):
        start = time.perf_counter_ns()
        h.checked_load(ctypes.byref(state), ctypes.c_uint64(2000))
        best = min(best, time.perf_counter_ns() - start)
    return best // 2000


def check():
    stopping.set()
    for thread in threads:
        thread.join()
    return wrong[0] == 0


def execute():
    os.execv(sys.executable, [sys.executable, "-c", "input()"])


def become(program):
    os.execv(program, [program])


def leave():
    os._exit(0)


def fork():
    pid = os.fork()
    if pid == 0:
        state = ctypes.c_uint64(9)
        os._exit(0 if h.checked_load(ctypes.byref(state), ctypes.c_uint64(20000)) == 0 else 1)
    return os.waitpid(pid, 0)[1]


children = []


def keep():
    """Forks a child that waits, and then checks itself."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        state = ctypes.c_uint64(11)
        os._exit(0 if h.checked_load(ctypes.byref(state), ctypes.c_uint64(20000)) == 0 else 1)
    os.close(reading)
    children.append((pid, writing))
    return pid


def release():
    """Has the children end; how many did not end well."""
    failures = 0
    while children:
        pid, writing = children.pop()
        os.close(writing)
        failures += os.waitpid(pid, 0)[1] != 0
    return failures


threads = [threading.Thread(target=work, args=(at + 1,), daemon=True) for at in range(int(sys.argv[1]))]
for thread in threads:
    thread.start()
serve(
    {
        "rate": rate,
        "rounds": lambda: rounds[0],
        "exec": execute,
        "become": become,
        "hide": lambda: ctypes.CDLL(None).prctl(4, 0, 0, 0, 0),
        "leave": leave,
        "fork": fork,
        "keep": keep,
        "release": release,
    },
    check,
)
