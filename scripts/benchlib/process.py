"""Processes from outside: lines with a deadline, and what /proc says."""

import os
import selectors
import time
from pathlib import Path

RING = "/memfd:prof-ring"
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


class Failure(Exception):
    """A measurement that did not come about; the text says why."""


class Lines:
    """Reads lines from a pipe, none later than its deadline."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.pending = b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(pipe, selectors.EVENT_READ)

    def next(self, seconds):
        """The next line; `Failure` at the end of the pipe or of the time."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.pending:
            if not self.selector.select(max(0, deadline - time.monotonic())):
                raise Failure("no answer within %d s" % seconds)
            data = os.read(self.pipe.fileno(), 65536)
            if not data:
                raise Failure("ended early: %s" % self.pending.decode(errors="replace").strip())
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode(errors="replace")


def resident_bytes(pid):
    """The resident set, and how much of it is the mapping of prof's ring."""
    total = ring = 0
    in_ring = False
    for line in Path("/proc/%d/smaps" % pid).read_text(errors="replace").splitlines():
        key, _, value = line.partition(" ")
        if not key.endswith(":"):
            in_ring = RING in line
        elif key == "Rss:":
            size = int(value.split()[0]) << 10
            total += size
            ring += size if in_ring else 0
    return total, ring


def peak_resident_bytes(pid):
    """The largest resident set so far."""
    status = Path("/proc/%d/status" % pid).read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def processor_seconds(pid):
    """User and system time of all threads, to 10 ms."""
    fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
