#!/usr/bin/env python3
"""The figures of a capture, worked out a second time: simply, slowly, and by nothing
that `prof` itself uses for it.

    prof parse FILE --json | tests/replay.py [--within N] [--from-ns A] [--to-ns B]

Replays the records twice: once to find the moments at which the heap was largest, once
to look at what is held then. A look is a sum over all that is allocated.

    records ─► steps ─► pass 1: heap after each step ─► moments
                    └─► pass 2: allocated, held at the moments, kept, temporary

A step ends memory or begins some; a `realloc` is two. A mapping is whole pages, of which
each stretch that is left counts as a block. Standard library only.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict, namedtuple

FREES = {"free", "PyMem_RawFree", "PyMem_Free", "PyObject_Free"}
MAPPINGS = {"mmap", "mremap", "pymalloc_arena", "thread_stack"}
NO_EVENTS = {"metadata", "code", "thread", "rss", "note", "end"}
MREMAP_DONTUNMAP = 4
NEVER = None

#: What happens to memory at a moment: `does` is "free", "unmap", "begin" or "lost".
Step = namedtuple("Step", "t_ns does thread kind addr size stack", defaults=(None, 0, 0, ()))
#: Who allocates: a tuple of frames, leaf first, a thread's serial, a function.
Site = namedtuple("Site", "stack thread kind")


class Sum:
    """Bytes and blocks."""

    def __init__(self, size=0, blocks=0):
        self.bytes, self.blocks = size, blocks

    def add(self, size, blocks):
        self.bytes += size
        self.blocks += blocks

    def pair(self):
        return self.bytes, self.blocks


class Block:
    """A block, or a mapping: from when, and the stretches that are left of it."""

    def __init__(self, site, size, order, interval, step):
        self.site, self.size, self.order = site, size, order
        self.interval, self.step = interval, step

    def is_heap(self):
        return self.site.kind != "thread_stack"


class Capture:
    """The records of `prof parse --json`."""

    def __init__(self, lines):
        self.metadata, self.steps, self.calls = {}, [], []
        self.names_by_serial, self.names_by_tid, self.tids = {}, {}, {}
        for line in lines:
            self._take(json.loads(line))

    def _take(self, record):
        kind = record["kind"]
        if kind == "metadata":
            self.metadata = record
        elif kind == "thread":
            serial = record.get("serial")
            names = self.names_by_tid if serial is None else self.names_by_serial
            names[record["tid"] if serial is None else serial] = record["name"]
        elif kind not in NO_EVENTS:
            self.tids[record["thread"]] = record["tid"]
            self._event(kind, record)

    def _event(self, kind, record):
        t_ns, thread = record["t_ns"], record["thread"]
        addr, size = int(record.get("addr", "0"), 16), record.get("size", 0)
        old_addr = int(record.get("old_addr", "0"), 16)
        if kind == "lost":
            self.steps.append(Step(t_ns, "lost", thread))
            return
        self.calls.append((t_ns, kind))
        if kind in FREES:
            self.steps.append(Step(t_ns, "free", thread, kind, addr))
        elif kind == "munmap":
            self.steps.append(Step(t_ns, "unmap", thread, kind, addr, size))
        else:
            if kind == "mremap" and not record["flags"] & MREMAP_DONTUNMAP:
                self._earlier(Step(record["before_ns"], "unmap", thread, kind, old_addr, record["old_size"]))
            elif kind != "mremap" and old_addr:
                self._earlier(Step(record["before_ns"], "free", thread, kind, old_addr))
            if addr:
                stack = tuple(map(tuple, record["stack"]))
                self.steps.append(Step(t_ns, "begin", thread, kind, addr, size, stack))

    def _earlier(self, step):
        """The first half of a call that was told when it returned. What ends memory comes
        before what begins some at the same moment."""
        at = len(self.steps)
        while at and self._is_behind(self.steps[at - 1], step):
            at -= 1
        self.steps.insert(at, step)

    @staticmethod
    def _is_behind(other, step):
        is_later = other.t_ns > step.t_ns or (other.t_ns == step.t_ns and other.does == "begin")
        return is_later and other.thread != step.thread

    def label(self, thread):
        """A thread as the reports name it."""
        tid, name = self.tids[thread], self.name(thread)
        return "%s (tid %d)" % (name, tid) if name else "tid %d" % tid

    def name(self, thread):
        return self.names_by_serial.get(thread) or self.names_by_tid.get(self.tids[thread], "")

    def as_ticks(self, t_ns):
        """A moment that was asked for, in ns, as a whole number of ticks has it."""
        rate = max(self.metadata["clock"]["ticks_per_second"], 1)
        return t_ns * rate // 10**9 * 10**9 // rate

    def tick(self, t_ns):
        """Ticks since the start: the first and the last that are this nanosecond."""
        rate = max(self.metadata["clock"]["ticks_per_second"], 1)
        first = -(-t_ns * rate // 10**9)
        return first, max(first, -(-(t_ns + 1) * rate // 10**9) - 1)


class Heap:
    """What is allocated, step by step. Tells `begin(block)` and
    `end(block, bytes, blocks, age)`."""

    def __init__(self, page, begin, end):
        self.page, self.begin, self.end = page or 4096, begin, end
        self.blocks, self.stretches = {}, []
        self.allocations = Counter()
        self.bytes = self.unmatched = self.overwritten = 0

    def take(self, number, step, interval=0):
        if step.does == "free":
            self._free(step.addr)
        elif step.does == "unmap":
            self._unmap(step.addr, step.addr + self._pages(step.size))
        elif step.does == "begin":
            self._allocate(number, step, interval)

    def held(self):
        """Every block and every stretch of a mapping that is heap: block, bytes."""
        yield from ((block, block.size) for block in self.blocks.values())
        yield from ((block, end - start) for start, end, block in self.stretches if block.is_heap())

    def stack_bytes(self):
        return sum(end - start for start, end, block in self.stretches if not block.is_heap())

    def _pages(self, size):
        return -(-size // self.page) * self.page

    def _allocate(self, number, step, interval):
        is_mapping = step.kind in MAPPINGS
        size = self._pages(step.size) if is_mapping else step.size
        site = Site(step.stack, step.thread, step.kind)
        if is_mapping:
            self._unmap(step.addr, step.addr + size)
        if step.kind != "thread_stack":
            self.allocations[step.thread] += 1
        block = Block(site, size, self.allocations[step.thread], interval, number)
        if is_mapping:
            if size:
                self.stretches.append((step.addr, step.addr + size, block))
        else:
            if step.addr in self.blocks:
                self.overwritten += 1
                self._ended(self.blocks[step.addr], self.blocks[step.addr].size, -1)
            self.blocks[step.addr] = block
        if block.is_heap():
            self.bytes += size
            self.begin(block, step.size)

    def _free(self, addr):
        if addr in self.blocks:
            block = self.blocks.pop(addr)
            self._ended(block, block.size, -1)
        elif addr:
            self.unmatched += 1

    def _unmap(self, low, high):
        left = []
        for start, end, block in self.stretches:
            if end <= low or high <= start or low >= high:
                left.append((start, end, block))
                continue
            rest = [(a, b, block) for a, b in ((start, low), (high, end)) if a < b]
            left += rest
            self._ended(block, min(end, high) - max(start, low), len(rest) - 1)
        self.stretches = left

    def _ended(self, block, size, blocks):
        if block.is_heap():
            self.bytes -= size
            age = self.allocations[block.site.thread] - block.order
            self.end(block, size, blocks, age)


class Replay:
    """The figures. A window is a pair of moments in ns, both inclusive; an interval has
    `width` ticks, of which there are `count`."""

    VIEWS = ("allocations", "peak", "leaks", "late_leaks", "temporary")

    def __init__(self, capture, within=1, window=None, width=None, count=0):
        self.capture, self.within, self.window = capture, within, window
        self.width, self.count = width, count
        steps = capture.steps
        low, high = window or (0, float("inf"))
        self.first = next((n for n, step in enumerate(steps) if step.t_ns >= low), len(steps))
        self.last = next((n for n, step in enumerate(steps) if step.t_ns > high), len(steps))
        self.last = max(self.first, self.last)
        losses = [n for n in range(self.first, self.last) if steps[n].does == "lost"]
        self.late_from = max(losses, default=self.first)
        self.sites = {view: defaultdict(Sum) for view in self.VIEWS}
        self.intervals = [self._interval(step.t_ns) for step in steps] if width else [0] * len(steps)
        for n in range(1, len(steps)):
            self.intervals[n] = max(self.intervals[n], self.intervals[n - 1])
        self._find_moments()
        self._look()

    def _interval(self, t_ns):
        first, last = (min(tick // self.width, self.count - 1) for tick in self.capture.tick(t_ns))
        if first != last:
            raise SystemExit("ambiguous: an event lies within a nanosecond of an interval's edge")
        return first

    def _heap(self, begin, end):
        return Heap(self.capture.metadata.get("page_size"), begin, end)

    def _find_moments(self):
        """The number of the step after which the heap is largest, the last such one: of
        the window, and of each interval. A step -1 is before all of them."""
        heap = self._heap(lambda *_: None, lambda *_: None)
        before = reached = 0
        self.peak = None
        self.moments, self.heights = {}, {}
        for n, step in enumerate(self.capture.steps[: self.last]):
            interval = self.intervals[n]
            for reached in range(reached, interval + 1):
                if reached not in self.moments:
                    self.moments[reached], self.heights[reached] = n - 1, before
            if n == self.first:
                self.peak = (before, n - 1)
            heap.take(n, step)
            before = heap.bytes
            if step.does == "begin" and step.kind != "thread_stack":
                if n >= self.first and heap.bytes >= self.peak[0]:
                    self.peak = (heap.bytes, n)
                if heap.bytes >= self.heights[interval]:
                    self.moments[interval], self.heights[interval] = n, heap.bytes
        if self.peak is None:
            self.peak = (before, self.last - 1)
        for passed in range(self.count):
            if passed not in self.moments:
                self.moments[passed], self.heights[passed] = self.last - 1, before

    def _look(self):
        self.kept = defaultdict(Sum)
        self.held = {}
        self.at = -1
        self.heap = heap = self._heap(self._began, self._ended)
        wanted = defaultdict(list)
        for interval, n in self.moments.items():
            wanted[n].append(interval)
        self._look_at(-1, wanted)
        for n, step in enumerate(self.capture.steps[: self.last]):
            self.at = n
            heap.take(n, step, self.intervals[n])
            self._look_at(n, wanted)
        for block, size in heap.held():
            self.kept[block.site, block.interval, NEVER].add(size, 1)
            if block.step >= self.first:
                self.sites["leaks"][block.site].add(size, 1)
                if block.step >= self.late_from:
                    self.sites["late_leaks"][block.site].add(size, 1)

    def _look_at(self, n, wanted):
        if n == self.peak[1]:
            self.sites["peak"] = self._held()
        for interval in wanted.get(n, ()) if self.width else ():
            self.held[interval] = self._held()

    def _held(self):
        sums = defaultdict(Sum)
        for block, size in self.heap.held():
            sums[block.site].add(size, 1)
        return sums

    def _began(self, block, asked):
        if self.at >= self.first:
            self.sites["allocations"][block.site].add(asked, 1)

    def _ended(self, block, size, blocks, age):
        if block.step >= self.first and age <= self.within:
            self.sites["temporary"][block.site].add(size, int(blocks < 0))
        now = self.intervals[self.at]
        if block.interval < now:
            self.kept[block.site, block.interval, now].add(size, int(blocks < 0))

    def total(self, view):
        """Bytes and blocks of a view."""
        sums = self.sites[view].values()
        return sum(one.bytes for one in sums), sum(one.blocks for one in sums)

    def live(self):
        """Bytes and blocks on the heap at the end, older ones included."""
        sizes = [size for _, size in self.heap.held()]
        return sum(sizes), len(sizes)

    def peak_ns(self):
        """When the heap was largest; a window may begin with that."""
        moment = self.peak[1]
        if moment < self.first:
            return self.capture.as_ticks(self.window[0]) if self.window else 0
        return self.capture.steps[moment].t_ns

    def calls(self):
        """Recorded calls by function, in the window."""
        low, high = self.window or (0, float("inf"))
        return Counter(kind for t_ns, kind in self.capture.calls if low <= t_ns <= high)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--within", type=int, default=1)
    parser.add_argument("--from-ns", type=int)
    parser.add_argument("--to-ns", type=int)
    chosen = parser.parse_args()
    window = None
    if (chosen.from_ns, chosen.to_ns) != (None, None):
        window = (chosen.from_ns or 0, float("inf") if chosen.to_ns is None else chosen.to_ns)
    replay = Replay(Capture(sys.stdin), chosen.within, window)
    views = {view: dict(zip(("bytes", "blocks"), replay.total(view))) for view in Replay.VIEWS}
    rows = [
        {"view": view, "stack": site.stack, "thread": site.thread, "kind": site.kind}
        | {"bytes": one.bytes, "blocks": one.blocks}
        for view in Replay.VIEWS
        for site, one in replay.sites[view].items()
    ]
    json.dump({"peak_ns": replay.peak_ns(), "views": views, "rows": rows}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
