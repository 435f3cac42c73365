"""What all workloads share: rounds, and how they are counted, stopped and checked."""

import ctypes
import os
import select
import sys
import threading

from harness import HELPER, serve

HOSTILE = ctypes.CDLL(os.environ["PROF_TEST_HOSTILE"])
HOSTILE.fastest_pair.restype = ctypes.c_uint64
HOSTILE.take_gap.restype = ctypes.c_uint64


class Checked:
    """Allocations with checked contents; see `checked_load` in helper.c."""

    def __init__(self, seed):
        self.state = ctypes.c_uint64(seed)

    def load(self, rounds):
        """The number of bytes that were not what they had to be."""
        return HELPER.checked_load(ctypes.byref(self.state), ctypes.c_uint64(rounds))


class Workload:
    """Goes through `round` again and again, which says how much went wrong."""

    def __init__(self):
        self.rounds = 0
        self.wrong = 0
        self.stopping = False
        self.commands = {
            "rounds": lambda: self.rounds,
            "rate": HOSTILE.fastest_pair,
            "gap": HOSTILE.take_gap,
        }

    def step(self, at=0):
        self.wrong += self.round(at)
        self.rounds += 1

    def check(self):
        return self.wrong == 0


class OneThread(Workload):
    """All in the main thread, the only one: between rounds it looks at its stdin."""

    def lines(self):
        while True:
            while not select.select([sys.stdin], [], [], 0)[0]:
                self.step()
            yield sys.stdin.readline()

    def serve(self):
        self.step()
        serve(self.commands, self.check, self.lines())


class Threads(Workload):
    """`count` threads, while the main thread waits for orders."""

    def __init__(self, count):
        super().__init__()
        self.threads = [threading.Thread(target=self.run, args=(at,), daemon=True) for at in range(count)]

    def run(self, at):
        while not self.stopping:
            self.step(at)

    def check(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        return super().check()

    def serve(self):
        for thread in self.threads:
            thread.start()
        serve(self.commands, self.check)
