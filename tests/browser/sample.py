#!/usr/bin/env python3
"""Builds pages with made-up data, to look at the page without a capture.

Usage: sample.py DIRECTORY [NAME…]

Writes NAME.html for each sample; without names, all of them. The numbers of the small
samples come from simulated events, so that what the page says can be checked.
"""

import base64
import html
import json
import pathlib
import random
import sys
import zlib

ASSETS = pathlib.Path(__file__).resolve().parents[2] / "src" / "report" / "page" / "assets"
SECOND = 1_000_000_000
KINDS = ["malloc", "calloc", "realloc", "mmap", "pymalloc_arena"]
APP = "/srv/shop/"
LIB = "/usr/lib/python3.12/"
PACKAGES = "/usr/lib/python3.12/site-packages/"

#: (function, file, line)
MAIN = [
    ("_run_module_as_main", "<frozen runpy>", 198),
    ("_run_code", "<frozen runpy>", 88),
    ("<module>", APP + "service.py", 71),
    ("main", APP + "service.py", 58),
]
WORKER = [
    ("Thread._bootstrap", LIB + "threading.py", 1030),
    ("Thread._bootstrap_inner", LIB + "threading.py", 1073),
    ("Thread.run", LIB + "threading.py", 1010),
    ("process_request_thread", LIB + "socketserver.py", 692),
    ("BaseHTTPRequestHandler.handle", LIB + "http/server.py", 436),
    ("Handler.do_GET", APP + "service.py", 33),
]
IMPORT = [
    ("_find_and_load", "<frozen importlib._bootstrap>", 1360),
    ("_load_unlocked", "<frozen importlib._bootstrap>", 935),
    ("exec_module", "<frozen importlib._bootstrap_external>", 995),
]
NO_STACK = ("(no Python stack)", "", 0)


def page(data, title="sample"):
    """The page, put together as `prof flamegraph` does."""
    scripts = [(ASSETS / name).read_text() for name in (ASSETS / "order.txt").read_text().split()]
    text = (ASSETS / "page.html").read_text()
    packed = base64.b64encode(zlib.compress(json.dumps(data, separators=(",", ":")).encode())).decode()
    lines = (line.strip() for script in scripts for line in script.splitlines())
    script = "\n".join(line for line in lines if line and not line.startswith(("//", "/**", "* ")))
    text = text.replace("/*STYLE*/", (ASSETS / "page.css").read_text())
    text = text.replace("TITLE", html.escape(title), 1)
    before, after = text.split(">DATA<")
    return before + ">" + packed + "<" + after.replace("/*SCRIPT*/", script)


class Names:
    """Strings, places and nodes, each once."""

    def __init__(self):
        self.strings, self.places, self.nodes = {}, {}, {}

    @staticmethod
    def _id(known, key):
        return known.setdefault(key, len(known))

    def place(self, function, file, line):
        key = (self._id(self.strings, function), self._id(self.strings, file), line)
        return self._id(self.places, key)

    def node(self, stack):
        """The node of a stack, outermost call first; 0 is the root."""
        at = 0
        for frame in stack:
            at = self._id(self.nodes, (at, self.place(*frame))) + 1
        return at

    def columns(self):
        places, nodes = list(self.places), list(self.nodes)
        return {
            "strings": list(self.strings),
            "places": {name: [place[at] for place in places] for at, name in enumerate(["function", "file", "line"])},
            "nodes": {"parent": [-1] + [parent for parent, _ in nodes], "place": [-1] + [place for _, place in nodes]},
        }


class Program:
    """Simulated events: blocks that live from one moment to another."""

    def __init__(self, seconds=30, bins=300, seed=1):
        self.names, self.sites, self.blocks = Names(), {}, []
        self.duration, self.bins, self.random = seconds * SECOND, bins, random.Random(seed)
        self.threads = [{"name": "MainThread", "tid": 4242}]

    def thread(self, name, tid):
        self.threads.append({"name": name, "tid": tid})
        return len(self.threads) - 1

    def site(self, stack, thread=0, kind=0):
        key = (self.names.node(stack), thread, kind)
        return self.sites.setdefault(key, len(self.sites))

    def block(self, site, born, freed, size, temporary=False):
        """`freed` of None: never. Times in seconds."""
        end = None if freed is None else int(freed * SECOND)
        if end is not None and end >= self.duration:
            end = None
        self.blocks.append((site, int(born * SECOND), end, size, temporary and end is not None))

    def events(self):
        events = [(born, 1, site, size) for site, born, _, size, _ in self.blocks]
        events += [(freed, 0, site, size) for site, _, freed, size, _ in self.blocks if freed is not None]
        return sorted(events)

    def columns(self, late_from=None):
        count = len(self.sites)
        keys = ["allocations", "bytes", "peak_blocks", "peak_bytes", "leaked_blocks", "leaked_bytes"]
        keys += ["late_blocks", "late_bytes", "temporary_blocks", "temporary_bytes"]
        out = {key: [0] * count for key in keys}

        def add(blocks, size, key_blocks, key_bytes, site):
            out[key_blocks][site] += blocks
            out[key_bytes][site] += size

        for site, born, freed, size, temporary in self.blocks:
            add(1, size, "allocations", "bytes", site)
            if freed is None:
                add(1, size, "leaked_blocks", "leaked_bytes", site)
                if late_from is not None and born >= late_from:
                    add(1, size, "late_blocks", "late_bytes", site)
            if temporary:
                add(1, size, "temporary_blocks", "temporary_bytes", site)
        if late_from is None:
            out["late_blocks"] = out["late_bytes"] = None
        live, most, at = 0, 0, 0
        for time, is_alloc, _, size in self.events():
            live += size if is_alloc else -size
            if live > most:
                most, at = live, time
        for site, born, freed, size, _ in self.blocks:
            if born <= at and (freed is None or freed > at):
                add(1, size, "peak_blocks", "peak_bytes", site)
        sites = {name: [key[part] for key in self.sites] for part, name in enumerate(["node", "thread", "kind"])}
        return {**sites, **out}, most, at

    def time(self):
        width = -(-self.duration // self.bins)
        bin_of = lambda time: min(self.bins - 1, time // width)
        heap, peaks = [0] * self.bins, {}
        live, state, at_bin = 0, {}, 0
        held = {}
        snapshots = {}
        for time, is_alloc, site, size in self.events() + [(self.duration, 2, -1, 0)]:
            while at_bin < bin_of(time):
                at_bin += 1
                heap[at_bin], snapshots[at_bin] = live, None
                self._snapshot(held, state, at_bin)
            if is_alloc == 2:
                break
            bytes_, blocks = state.get(site, (0, 0))
            sign = 1 if is_alloc else -1
            state[site] = (bytes_ + sign * size, blocks + sign)
            live += sign * size
            if live > heap[at_bin]:
                heap[at_bin] = live
                self._snapshot(held, state, at_bin)
        rows = []
        for site in sorted(held):
            before = (0, 0)
            for bin_, value in sorted(held[site].items()):
                if value != before:
                    rows.append((site, bin_, *value))
                    before = value
        kept = {}
        for site, born, freed, size, _ in self.blocks:
            first, last = bin_of(born), self.bins if freed is None else bin_of(freed)
            if last > first:
                cell = kept.setdefault((site, first, last), [0, 0])
                cell[0] += size
                cell[1] += 1
        cells = [(*key, *value) for key, value in sorted(kept.items())]
        pick = lambda table, at: [row[at] for row in table]
        return {
            "bins": self.bins,
            "bin_ns": width,
            "heap": heap,
            "held": {name: pick(rows, at) for at, name in enumerate(["site", "bin", "bytes", "blocks"])},
            "kept": {name: pick(cells, at) for at, name in enumerate(["site", "born", "freed", "bytes", "blocks"])},
        }

    @staticmethod
    def _snapshot(held, state, bin_):
        for site, value in state.items():
            held.setdefault(site, {})[bin_] = value

    def recording(self, peak, peak_at, **more):
        leaks = [block for block in self.blocks if block[2] is None]
        frees = len(self.blocks) - len(leaks)
        return {
            "file": "prof-python3-4242-20261122-104500.prof",
            "pid": 4242,
            "command_line": "/usr/bin/python3.12 -m shop.service --port 8080 --workers 4",
            "python_version": "3.12.1",
            "python_allocator": "pymalloc",
            "allocator": "glibc malloc",
            "libc": "glibc 2.36",
            "host": "web-3",
            "prof_version": "0.1.0",
            "start_time": "2026-11-22T10:45:00Z",
            "duration_ns": self.duration,
            "end_reason": "the duration is over",
            "events": len(self.blocks) + frees,
            "allocations": len(self.blocks),
            "deallocations": frees,
            "allocated_bytes": sum(block[3] for block in self.blocks),
            "peak_bytes": peak,
            "peak_time_ns": peak_at,
            "live_bytes": sum(block[3] for block in leaks),
            "live_blocks": len(leaks),
            "unmatched_frees": 17,
            "lost_events": 0,
            "damaged_chunks": 0,
            "longest_pause_us": 412,
            "gaps": [],
            "notes": [],
            "domains": False,
            "small_objects": None,
            **more,
        }

    def resident(self, heap, base=38 << 20):
        step = max(1, len(heap) // 120)
        samples = range(0, len(heap), step)
        most = 0
        out = {"t_ns": [], "bytes": []}
        for at in samples:
            most = max(most * 0.995, heap[at] * 0.93)
            out["t_ns"].append(at * self.duration // len(heap))
            out["bytes"].append(int(base + most))
        return out

    def data(self, start=None, late_from=None, time=True, source=None, **more):
        sites, peak, at = self.columns(late_from)
        over = self.time()
        return {
            "start": {"view": "peak", "inverted": False, "split_threads": False, "table": False, **(start or {})},
            "recordings": [self.recording(peak, at, **more)],
            **self.names.columns(),
            "threads": self.threads,
            "kinds": KINDS,
            "sites": sites,
            "temporary_within": 1,
            "resident": self.resident(over["heap"]),
            "time": over if time else None,
            "source": self.sources(source or {}),
        }

    def sources(self, lines):
        out = {}
        for (file, line), text in lines.items():
            if file in self.names.strings:
                out.setdefault(str(self.names.strings[file]), {})[str(line)] = text
        return out


SOURCE = {
    (APP + "service.py", 24): "def keep_page(path):",
    (APP + "service.py", 25): "    # For ever: nobody takes anything out.",
    (APP + "service.py", 26): "    pages[path] = bytearray(64_000)",
    (APP + "service.py", 29): "def log_visit(path):",
    (APP + "service.py", 31): '        visits.append({"path": path, "step": step})',
    (APP + "service.py", 33): "        self.answer(render(self.path))",
    (LIB + "json/encoder.py", 258): "    return _iterencode(o, 0)",
}


def shop(seconds=30, rate=1.0, seed=1, bins=300):
    """A web service that keeps its pages: the leak of the demo."""
    program = Program(seconds, bins, seed)
    pick = program.random
    workers = [program.thread(f"Thread-{at}", 4250 + at) for at in range(4)]
    config = program.site(MAIN + [("load_config", APP + "config.py", 14), ("loads", LIB + "json/__init__.py", 346), ("JSONDecoder.decode", LIB + "json/decoder.py", 337)])
    numpy = program.site(MAIN + [("warm_up", APP + "service.py", 49)] + IMPORT + [("<module>", PACKAGES + "numpy/__init__.py", 130)] + IMPORT + [("<module>", PACKAGES + "numpy/core/multiarray.py", 10)], kind=3)
    arena = program.site([NO_STACK], kind=4)
    for at in range(40):
        program.block(config, 0.1 + at * 0.01, None if at % 4 == 0 else 0.6 + at * 0.01, 20_000 + at * 100)
        program.block(numpy, 0.8 + at * 0.02, None, 60_000)
    for at in range(6):
        program.block(arena, 1 + 4 * at, None, 1 << 20)
    for worker in workers:
        keep = program.site(WORKER + [("keep_page", APP + "service.py", 26)], worker)
        render = program.site(WORKER + [("render", APP + "service.py", 19)], worker)
        render_json = program.site(WORKER + [("render", APP + "service.py", 21), ("dumps", LIB + "json/__init__.py", 231), ("JSONEncoder.iterencode", LIB + "json/encoder.py", 258)], worker, 2)
        log = program.site(WORKER + [("log_visit", APP + "service.py", 31)], worker, 4)
        thumb = program.site(WORKER + [("thumbnail", APP + "images.py", 88), ("Image.resize", PACKAGES + "PIL/Image.py", 2200), ("Image.convert", PACKAGES + "PIL/Image.py", 985)], worker, 1)
        cache = program.site(WORKER + [("lookup", APP + "cache.py", 40), ("Cache.fill", APP + "cache.py", 61)], worker)
        now = 1.5 + pick.random()
        while now < seconds - 0.2:
            program.block(keep, now, None, 64_000)
            program.block(render, now, now + 0.004, 2_000_000, temporary=True)
            program.block(render_json, now + 0.001, now + 0.003, 12_000, temporary=True)
            program.block(cache, now, now + 2 + pick.random() * 3, 90_000)
            if pick.random() < 0.3:
                program.block(log, now, None, 9_000)
            if seconds * 0.55 < now < seconds * 0.7:
                for _ in range(3):
                    program.block(thumb, now, now + 0.6 + pick.random(), 1_400_000)
            now += pick.expovariate(7 * rate)
    return program


def demo():
    return shop().data(source=SOURCE, small_objects="Small objects (at most 512 bytes) are seen only as pymalloc's arenas. `prof attach --trace-python-allocators` records each of them.")


def gap():
    gaps = [[9 * SECOND, 10 * SECOND, 412, 377], [14 * SECOND, 15 * SECOND, 20, 9]]
    notes = [{"kind": "disk", "text": "The disk was too slow for 1.2 s."}]
    return shop().data(start={"view": "leaks"}, late_from=15 * SECOND, source=SOURCE, gaps=gaps, notes=notes, lost_events=818)


def comparison():
    before, after = shop(20, 0.6, 2), shop(30, 1.0, 1)
    extra = after.site(MAIN + [("rebuild_index", APP + "index.py", 12)])
    gone = before.site(MAIN + [("old_cache", APP + "cache.py", 99)])
    for at in range(50):
        after.block(extra, 3 + at / 10, None, 80_000)
        before.block(gone, 3 + at / 10, None, 55_000)
    columns, peak, at = before.columns()
    data = after.data(time=False, source=SOURCE)
    names = before.names
    strings, places = list(names.strings), list(names.places)
    stacks = {0: []}
    for index, (parent, place) in enumerate(names.nodes):
        function, file, line = places[place]
        stacks[index + 1] = stacks[parent] + [(strings[function], strings[file], line)]
    for node, thread, kind in before.sites:
        after.site(stacks[node], thread, kind)
    new, _, _ = after.columns()
    for key in list(new):
        if key not in ("node", "thread", "kind"):
            new["before_" + key] = None if columns[key] is None else [0] * len(after.sites)
    for old, (node, thread, kind) in enumerate(before.sites):
        site = after.site(stacks[node], thread, kind)
        for key, values in columns.items():
            if values and key not in ("node", "thread", "kind"):
                new["before_" + key][site] = values[old]
    data.update(after.names.columns())
    data["sites"], data["source"] = new, after.sources(SOURCE)
    data["recordings"].insert(0, before.recording(peak, at, file="monday.prof"))
    return data


def empty():
    return Program(5, 50).data()


def one():
    program = Program(5, 50)
    program.block(program.site([("f", "one.py", 1)]), 1, None, 100)
    return program.data(time=False)


def deep():
    program = Program(5, 50)
    for depth in (1000, 700, 20):
        stack = [("descend" if at % 2 else "again", APP + "deep.py", at % 7 + 1) for at in range(depth)]
        program.block(program.site(stack), 1, None, 50_000)
    return program.data()


def hostile():
    program = Program(10, 100)
    names = [
        "<script>alert(1)</script><img src=x onerror=alert(2)>",
        "\x1b[31mred\x1b]0;title\x07",
        "user\u202egpj.exe\u202c",
        "\u05e9\u05dc\u05d5\u05dd_\u05e2\u05d5\u05dc\u05dd",
        "zalgo" + "\u0301\u0316\u0489" * 40,
        "\ud800lone",
        "x" * 20_000,
        "__proto__",
        "</script>",
        "\u65e5\u672c\u8a9e\u306e\u95a2\u6570 \U0001f469\u200d\U0001f4bb",
        "=cmd|' /C calc'!A0",
        "",
    ]
    program.threads[0]["name"] = "<b>main</b>\u202e"
    for at, name in enumerate(names):
        program.block(program.site([("main", "/srv/\"><script>/a.py", 1), (name, f"/srv/{name[:40]}.py", at)]), 1 + at / 2, None, 100_000 * (at + 1))
    return program.data(command_line="python3 -c '\x1b[2J</title><script>alert(3)</script>'", source={})


def large(nodes, cells, bins=1000, seed=3):
    """Random stacks, and columns of `time` that are only plausible."""
    pick = random.Random(seed)
    functions = max(50, nodes // 20)
    strings = [f"function_{at}" for at in range(functions)] + [f"{pick.choice([APP, LIB, PACKAGES])}module_{at}.py" for at in range(200)]
    count = min(nodes, functions * 5)
    places = {"function": [at % functions for at in range(count)], "file": [functions + (at * 7) % 200 for at in range(count)], "line": [at % 900 + 1 for at in range(count)]}
    parent, place, depth = [-1], [-1], [0]
    while len(parent) < nodes:
        above = pick.randrange(max(0, len(parent) - 3000), len(parent)) if pick.random() < 0.8 else pick.randrange(len(parent))
        if depth[above] < 60:
            parent.append(above)
            place.append(pick.randrange(count))
            depth.append(depth[above] + 1)
    leaves = [node for node in range(1, nodes) if pick.random() < 0.6]
    amounts = [int(pick.paretovariate(1.1) * 1000) for _ in leaves]
    blocks = [max(1, size // 500) for size in amounts]
    zeros = [0] * len(leaves)
    site = sorted(pick.randrange(len(leaves)) for _ in range(cells))
    born = [pick.randrange(bins) for _ in range(cells)]
    kept = {"site": site, "born": born, "freed": [min(bins, at + 1 + int(pick.expovariate(1 / 80))) for at in born], "bytes": [pick.randrange(64, 9000) for _ in site], "blocks": [1] * cells}
    held_site = sorted(pick.randrange(len(leaves)) for _ in range(cells // 2))
    held_bin = []
    for at, owner in enumerate(held_site):
        held_bin.append(0 if at == 0 or held_site[at - 1] != owner else min(bins - 1, held_bin[-1] + pick.randrange(1, 200)))
    heap = [int((1 + at / bins) * 5e8 + pick.random() * 1e8) for at in range(bins)]
    data = Program(600, 10).data()
    data["recordings"][0].update(duration_ns=600 * SECOND, events=10_000_000, peak_bytes=sum(amounts), peak_time_ns=int(597 * SECOND))
    half = lambda column: [value // 2 for value in column]
    data.update(
        strings=strings, places=places, nodes={"parent": parent, "place": place},
        sites={
            "node": leaves, "thread": zeros, "kind": [at % 3 for at in range(len(leaves))],
            "allocations": [value * 3 for value in blocks], "bytes": [value * 3 for value in amounts],
            "peak_blocks": blocks, "peak_bytes": amounts, "leaked_blocks": half(blocks), "leaked_bytes": half(amounts),
            "late_blocks": None, "late_bytes": None, "temporary_blocks": half(blocks), "temporary_bytes": half(amounts),
        },
        time={"bins": bins, "bin_ns": 600 * SECOND // bins, "heap": heap, "kept": kept,
              "held": {"site": held_site, "bin": held_bin, "bytes": [pick.randrange(64, 90000) for _ in held_site], "blocks": [1] * len(held_site)}},
        resident={"t_ns": [at * 600 * SECOND // bins for at in range(bins)], "bytes": [int(value * 0.9 + 4e7) for value in heap]},
    )
    return data


def wide():
    return large(200_000, 100_000)


def cells():
    return large(30_000, 1_000_000)


SAMPLES = {sample.__name__: sample for sample in (demo, gap, comparison, empty, one, deep, hostile, wide, cells)}


def main():
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(SAMPLES):
        sys.exit(f"{__doc__}\nNames: {', '.join(SAMPLES)}")
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or SAMPLES:
        path = directory / f"{name}.html"
        path.write_text(page(SAMPLES[name](), name), errors="surrogatepass")
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
