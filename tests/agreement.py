#!/usr/bin/env python3
"""Compares what the reports of `prof` say of a capture with the replay of its records.

    tests/agreement.py PROF FILE [--within N]

Every figure has to be equal: of `stats --json`, of `summary --json` by function, file,
thread and allocator in every view, of windows of the recording, and of the data inside
the page of `flamegraph`. Prints what differs; the status is 1 then. Standard library only.
"""

import argparse
import base64
import json
import re
import subprocess
import sys
import zlib
from collections import Counter, defaultdict

from replay import FREES, NEVER, Capture, Replay, Sum

NO_PYTHON = "(no Python stack)"
NO_FILE = "(unknown file)"
UNAVAILABLE = "<stack trace unavailable>"
ALL = "4000000000"
OPTIONS = {
    "peak": [],
    "leaks": ["--leaks"],
    "late_leaks": ["--late-leaks"],
    "temporary": ["--temporary"],
    "allocations": ["--allocations"],
}
COLUMNS = {
    "allocations": ("bytes", "allocations"),
    "peak": ("peak_bytes", "peak_blocks"),
    "leaks": ("leaked_bytes", "leaked_blocks"),
    "late_leaks": ("late_bytes", "late_blocks"),
    "temporary": ("temporary_bytes", "temporary_blocks"),
}


class Comparison:
    """Runs `prof` and keeps what differs."""

    def __init__(self, prof, file, within):
        self.prof, self.file, self.within = prof, file, within
        self.differences, self.compared = [], 0
        self.capture = Capture(self.run("parse", "--json").splitlines())

    def run(self, command, *options):
        words = [self.prof, command, self.file, *options]
        return subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout

    def same(self, what, told, expected):
        self.compared += 1
        if told != expected:
            self.differences.append("%s\n  prof:   %s\n  replay: %s" % (what, *only(told, expected)))

    def everything(self):
        whole = Replay(self.capture, self.within)
        self.stats("stats", whole, [])
        self.summaries("summary", whole, [])
        self.page(whole)
        for low, high in windows(self.capture.steps):
            options = (["--from", "%dns" % low] if low else []) + (["--to", "%dns" % high] if high else [])
            window = (low, high if high else float("inf"))
            replay = Replay(self.capture, self.within, window)
            what = " ".join(options)
            self.stats("stats " + what, replay, options)
            self.summaries("summary " + what, replay, options)

    def stats(self, what, replay, options):
        stats = json.loads(self.run("stats", "--json", "-n", ALL, "--within", str(self.within), *options))
        calls, total = replay.calls(), replay.total("allocations")
        gives_back = FREES | {"munmap"}
        for key, expected in {
            "total_num_allocations": total[1],
            "total_bytes_allocated": total[0],
            "total_num_deallocations": sum(calls[kind] for kind in gives_back),
            "allocator_type_distribution": {k: n for k, n in calls.items() if k not in gives_back},
            "live_bytes": replay.live()[0],
            "live_blocks": replay.live()[1],
            "thread_stack_bytes": replay.heap.stack_bytes(),
            "peak_time_ns": replay.peak_ns(),
            "unmatched_frees": replay.heap.unmatched,
            "proven_lost_frees": replay.heap.overwritten,
        }.items():
            self.same("%s: %s" % (what, key), stats[key], expected)
        self.same(what + ": peak_memory", stats["metadata"]["peak_memory"], replay.peak[0])
        for key, view in (("leaks", "leaks"), ("temporary", "temporary")):
            told = stats[key]["bytes"], stats[key]["blocks"]
            self.same("%s: %s" % (what, key), told, replay.total(view))
        if "after_last_gap" in stats["leaks"]:
            late = stats["leaks"]["after_last_gap"]
            told = late["bytes"], late["blocks"]
            self.same(what + ": leaks.after_last_gap", told, replay.total("late_leaks"))
        for key, told, view in (
            ("top_allocations_at_peak", stats["top_allocations_at_peak"], "peak"),
            ("leaks.top", stats["leaks"]["top"], "leaks"),
        ):
            told = sorted((freeze(row["stack"]), row["size"], row["count"]) for row in told)
            by_stack = summed(replay.sites[view], lambda site: site.stack)
            self.same("%s: %s" % (what, key), told, sorted(row for row in by_stack if row[1]))
        for key, told, view, column in (
            ("top_allocations_by_size", "size", "allocations", 1),
            ("top_allocations_by_count", "count", "allocations", 2),
            ("temporary.top", "size", "temporary", 1),
        ):
            rows = stats["temporary"]["top"] if key == "temporary.top" else stats[key]
            rows = sorted((row["location"], row[told]) for row in rows)
            by_place = summed(replay.sites[view], lambda site: location(site.stack))
            self.same("%s: %s" % (what, key), rows, sorted((row[0], row[column]) for row in by_place if row[column]))

    def summaries(self, what, replay, options):
        for view, view_options in OPTIONS.items():
            for by, key in (("function", "functions"), ("file", "files"), ("thread", "threads"), ("allocator", "kinds")):
                words = ["--json", "-n", ALL, "--by", by, "--within", str(self.within), *view_options, *options]
                summary = json.loads(self.run("summary", *words))
                name = "%s --by %s %s" % (what, by, view)
                self.same(name + ": peak", summary["peak_bytes"], replay.peak[0])
                self.same(name + ": all", summary["view_bytes"], replay.total(view)[0])
                figures = ("own_bytes", "total_bytes", "count")
                told = sorted((named(row), *(row[figure] for figure in figures)) for row in summary[key])
                self.same(name, told, self.table(replay.sites[view], by))

    def table(self, sites, by):
        """Rows of a summary: name, own bytes, bytes with all that it called, own blocks."""
        rows = defaultdict(lambda: [0, 0, 0])
        for site, one in sites.items():
            if one.pair() == (0, 0):
                continue
            names = self.names(site, by)
            rows[names[0]][0] += one.bytes
            rows[names[0]][2] += one.blocks
            for name in set(names):
                rows[name][1] += one.bytes
        return sorted((name, *row) for name, row in rows.items())

    def names(self, site, by):
        if by == "thread":
            return [self.capture.label(site.thread)]
        if by == "allocator":
            return [site.kind]
        if by == "file":
            return [file or NO_FILE for _, file, _ in site.stack] or [NO_PYTHON]
        return [(function, file) for function, file, _ in site.stack] or [(NO_PYTHON, "")]

    def page(self, whole):
        html = self.run("flamegraph", "--no-source", "--within", str(self.within), "-o", "-")
        packed = re.search(r'<script[^>]*\bid="data"[^>]*>([^<]*)</script>', html).group(1)
        data = json.loads(zlib.decompress(base64.b64decode(packed)))
        keys = page_keys(data)
        self.page_sites(data, keys, whole)
        recording = data["recordings"][0]
        for key, expected in {
            "allocations": whole.total("allocations")[1],
            "allocated_bytes": whole.total("allocations")[0],
            "events": len(self.capture.calls),
            "peak_bytes": whole.peak[0],
            "peak_time_ns": whole.peak_ns(),
            "live_bytes": whole.live()[0],
            "live_blocks": whole.live()[1],
            "unmatched_frees": whole.heap.unmatched,
        }.items():
            self.same("page: " + key, recording[key], expected)
        if data["time"] is not None:
            self.page_time(data["time"], keys)

    def page_sites(self, data, keys, whole):
        columns = data["sites"]
        self.same("page: each site once", len(set(keys)), len(keys))
        for view, (size, blocks) in COLUMNS.items():
            if columns.get(size) is None:
                continue
            told = {key: (a, b) for key, a, b in zip(keys, columns[size], columns[blocks]) if a or b}
            sums = self.by_page_key(whole.sites[view])
            expected = {key: one.pair() for key, one in sums.items() if one.pair() != (0, 0)}
            self.same("page: " + view, told, expected)

    def page_time(self, time, keys):
        rate = self.capture.metadata["clock"]["ticks_per_second"]
        width = round(time["bin_ns"] * rate / 1e9)
        replay = Replay(self.capture, self.within, None, width, time["bins"])
        heap = [replay.heights[interval] for interval in range(time["bins"])]
        self.same("page: heap over time", time["heap"], heap)
        held = [{} for _ in range(time["bins"])]
        columns = zip(*(time["held"][key] for key in ("site", "bin", "bytes", "blocks")))
        entries = sorted(columns, key=lambda entry: entry[1])
        now, at = {}, 0
        for interval in range(time["bins"]):
            while at < len(entries) and entries[at][1] <= interval:
                site, _, size, blocks = entries[at]
                now[keys[site]] = (size, blocks)
                at += 1
            held[interval] = {key: pair for key, pair in now.items() if pair != (0, 0)}
        for interval in range(time["bins"]):
            sums = self.by_page_key(replay.held[interval])
            expected = {key: one.pair() for key, one in sums.items() if one.pair() != (0, 0)}
            self.same("page: held in interval %d" % interval, held[interval], expected)
        told = Counter()
        for site, born, freed, size, blocks in zip(
            *(time["kept"][key] for key in ("site", "born", "freed", "bytes", "blocks"))
        ):
            told[keys[site], born, NEVER if freed == time["bins"] else freed] = (size, blocks)
        expected = defaultdict(Sum)
        for (site, born, freed), one in replay.kept.items():
            expected[self.page_key(site), born, freed].add(*one.pair())
        self.same("page: kept", dict(told), {key: one.pair() for key, one in expected.items()})

    def page_key(self, site):
        thread = (self.capture.name(site.thread), self.capture.tids[site.thread])
        return site.stack or ((NO_PYTHON, "", 0),), thread, site.kind

    def by_page_key(self, sites):
        sums = defaultdict(Sum)
        for site, one in sites.items():
            sums[self.page_key(site)].add(*one.pair())
        return sums


def page_keys(data):
    """Of each site of the page: its stack, leaf first, its thread, its allocator."""
    strings, places, nodes = data["strings"], data["places"], data["nodes"]

    def frame(place):
        return strings[places["function"][place]], strings[places["file"][place]], places["line"][place]

    def stack(node):
        frames = []
        while node:
            frames.append(frame(nodes["place"][node]))
            node = nodes["parent"][node]
        return tuple(frames)

    threads = [(thread["name"], thread["tid"]) for thread in data["threads"]]
    sites = data["sites"]
    return [
        (stack(node), threads[thread], data["kinds"][kind])
        for node, thread, kind in zip(sites["node"], sites["thread"], sites["kind"])
    ]


def windows(steps):
    """Parts of the recording whose edges no event is near: the first half, the middle, the
    end, one before all events, one between two of them."""
    quiet = [
        (one.t_ns + other.t_ns) // 2 for one, other in zip(steps, steps[1:]) if other.t_ns - one.t_ns > 1000
    ]
    if len(quiet) < 4 or steps[0].t_ns < 10:
        return []
    third, half, late = (quiet[len(quiet) * part // 6] for part in (2, 3, 5))
    return [(0, half), (third, late), (half, 0), (0, steps[0].t_ns // 2), (half, half + 1), (steps[-1].t_ns + 1000, 0)]


def summed(sites, key):
    """Bytes and blocks by a key of the site."""
    sums = defaultdict(Sum)
    for site, one in sites.items():
        sums[key(site)].add(*one.pair())
    return [(name, *one.pair()) for name, one in sums.items()]


def location(stack):
    return "%s:%s:%d" % stack[0] if stack else UNAVAILABLE


def named(row):
    return row["name"] if "name" in row else (row["function"], row["file"])


def freeze(stack):
    return tuple(map(tuple, stack))


def only(told, expected):
    """The parts of two values that the other does not have, shortened."""
    if isinstance(told, dict) and isinstance(expected, dict):
        told, expected = list(told.items()), list(expected.items())
    if isinstance(told, list) and isinstance(expected, list):
        told, expected = (
            [item for item in told if item not in expected],
            [item for item in expected if item not in told],
        )
        return "%d: %.600s" % (len(told), told[:2]), "%d: %.600s" % (len(expected), expected[:2])
    return told, expected


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prof")
    parser.add_argument("file")
    parser.add_argument("--within", type=int, default=1)
    chosen = parser.parse_args()
    comparison = Comparison(chosen.prof, chosen.file, chosen.within)
    comparison.everything()
    for difference in comparison.differences[:10]:
        print(difference)
    print("%d figures and tables, %d differ" % (comparison.compared, len(comparison.differences)))
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
