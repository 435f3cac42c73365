"""Allocations by one thread and by eight, and libraries that come and go."""

import os
import shutil

from harness import SCRATCH

from .base import HOSTILE, Checked, OneThread, Threads


class malloc_loop(OneThread):
    """glibc takes shortcuts without any lock while a process has one thread."""

    def __init__(self):
        super().__init__()
        self.checked = Checked(1)

    def round(self, _):
        return self.checked.load(2000)


class eight_threads(Threads):
    """malloc, calloc, realloc, free, mmap; most blocks are freed by another thread."""

    def __init__(self):
        super().__init__(8)
        self.checked = [Checked(at + 1) for at in range(8)]

    def round(self, at):
        return self.checked[at].load(2000)


class dlopen_loop(Threads):
    """Two threads load and unload a library of their own."""

    def __init__(self):
        super().__init__(2)

    def round(self, at):
        path = os.path.join(SCRATCH, "library%d.so" % at)
        if not os.path.exists(path):
            shutil.copy(os.environ["PROF_TEST_HOSTILE"], path)
        return HOSTILE.load_and_unload(path.encode(), 20)
