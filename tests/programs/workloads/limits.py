"""Processes that are at a limit: files, address space, locked memory, a control group."""

import ctypes
import os
import resource

from .base import Checked, OneThread

libc = ctypes.CDLL(None)
CURRENT_AND_FUTURE = 3
FUTURE = 2
MIB = 1 << 20


class Limited(OneThread):
    """Allocates as `malloc_loop` does."""

    def __init__(self):
        super().__init__()
        self.checked = Checked(19)
        self.round(0)

    def round(self, _):
        return self.checked.load(500)


class no_files(Limited):
    """Has as many files open as it may, until told to close them."""

    def __init__(self):
        super().__init__()
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        self.files = []
        self.commands["open"] = self.open_all
        self.commands["close"] = self.close_all
        # What a command needs itself is loaded by now.
        self.open_all()

    def open_all(self):
        try:
            while True:
                self.files.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass

    def close_all(self):
        for file in self.files:
            os.close(file)
        self.files.clear()


class little_space(Limited):
    """May have so many MiB of addresses more than it has."""

    def __init__(self, more):
        super().__init__()
        self.commands["limit"] = self.limit
        self.limit(more)

    def limit(self, more):
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used + int(more) * MIB, hard))


class locked(Limited):
    """All its memory is locked, what it will map too."""

    def __init__(self):
        super().__init__()
        assert libc.mlockall(CURRENT_AND_FUTURE) == 0


class little_locked(Limited):
    """What it will map is locked, and it may lock only so many MiB."""

    def __init__(self, most):
        super().__init__()
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (int(most) * MIB, int(most) * MIB))
        assert libc.mlockall(FUTURE) == 0


class little_memory(Limited):
    """Fills its control group but for so many KiB."""

    def __init__(self):
        super().__init__()
        self.kept = []
        self.commands["fill"] = self.fill

    def fill(self, kib):
        block = bytearray(int(kib) << 10)
        block[::4096] = b"x" * len(block[::4096])
        self.kept.append(block)
