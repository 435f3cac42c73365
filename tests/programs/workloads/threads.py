"""Threads that come and go, and threads that only wait."""

import threading

from harness import N

from .base import HOSTILE, Checked, Threads

SMALL = 32 << 10


class thread_storm(Threads):
    """C's and Python's; every one allocates and frees what another one left."""

    def __init__(self):
        super().__init__(2)

    def round(self, at):
        wrong = HOSTILE.start_threads(N(8), N(0))
        results = []
        starts = [threading.Thread(target=lambda: results.append(Checked(at + 9).load(50))) for _ in range(4)]
        for thread in starts:
            thread.start()
        for thread in starts:
            thread.join()
        return wrong + sum(results) + (len(results) != len(starts))


class small_stacks(Threads):
    """C's threads on stacks of 32 KiB."""

    def __init__(self):
        super().__init__(2)

    def round(self, _):
        return HOSTILE.start_threads(N(8), N(SMALL))


class idle_threads(Threads):
    """500 of them, and one that allocates."""

    def __init__(self):
        super().__init__(1)
        self.checked = Checked(7)
        self.ending = threading.Event()
        before = threading.stack_size(256 << 10)
        self.idle = [threading.Thread(target=self.ending.wait) for _ in range(500)]
        for thread in self.idle:
            thread.start()
        threading.stack_size(before)

    def round(self, _):
        return self.checked.load(500)

    def check(self):
        self.ending.set()
        for thread in self.idle:
            thread.join()
        return super().check()
