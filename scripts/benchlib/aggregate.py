"""Captures without events, beside captures with them, of one deterministic workload.

The same work is recorded both ways, and what reports say of the functions that do it must be
the same. Then the work goes on for long with `--aggregate`: how large the capture gets.
"""

import json
import time

from .process import MIB, Failure
from .speed import WORKLOADS
from .target import Target
from .tools import Prof, complete

WORKLOAD = "bigalloc"
#: Allocations; of the long one as many at a time.
AMOUNT = 5_000_000
LONG_SECONDS = 30 * 60
SECONDS = 3600
#: Where the functions of the workload are.
FILES = ("blocks.py", WORKLOAD + ".py")
VIEWS = ("--allocations", "--temporary", "--leaks", "--peak")
#: The interpreter's own blocks, of which there may be one more or less.
OWN = ("<module>",)


def figures(prof, path):
    """Bytes and blocks by view and function."""
    found = {}
    for view in VIEWS:
        words = [] if view == "--peak" else [view]
        summary = json.loads(complete([prof, "summary", "--json", "-n", "1000000", *words, str(path)], SECONDS))
        for row in summary["functions"]:
            if row["file"].endswith(FILES) and row["function"] not in OWN:
                found["%s of %s" % (view, row["function"])] = [row["own_bytes"], row["count"]]
    return found


def record(prof, flags, python, seconds, scratch):
    """Records the work once, or for so long: what that took, and the capture."""
    path = scratch / "aggregate.prof"
    path.unlink(missing_ok=True)
    with Target(python, "runner.py", WORKLOADS / (WORKLOAD + ".py"), AMOUNT) as target:
        with Prof(prof, flags).attach(target.pid, path) as recording:
            began, rounds = time.monotonic(), 0
            while rounds == 0 or time.monotonic() - began < seconds:
                target.ask("work", SECONDS)
                rounds += 1
            length_s, cost = time.monotonic() - began, recording.cost()
            facts = recording.finish()
    return facts | cost | {"length_s": length_s, "rounds": rounds}, path


def runs(python, prof, scratch, tell, quick=False):
    """Yields a measurement for each way, and the long one."""
    seen = {}
    for name, flags, seconds in (
        ("events", (), 0),
        ("figures", ("--aggregate",), 0),
        ("figures, long", ("--aggregate",), 20 if quick else LONG_SECONDS),
    ):
        run = {"workload": "aggregate", "configuration": name, "python": python.version}
        try:
            taken, path = record(prof, flags, python.python, seconds, scratch)
            run |= taken
            seen[name] = figures(prof, path)
        except Failure as failure:
            run["failure"] = str(failure)
        if name == "figures" and seen.get("events") != seen.get(name):
            run["failure"] = "figures differ: %s, %s" % (seen.get("events"), seen.get(name))
        tell(run)
        yield run


HEAD = ["capture of", "length s", "allocations", "lost", "MiB", "prof's processor s", "prof's peak MiB"]


def rows(all_runs):
    for run in all_runs:
        if run["workload"] == "aggregate" and "failure" not in run:
            yield [
                run["configuration"],
                "%.0f" % run["length_s"],
                "%.1f M" % (run["allocations"] / 1e6),
                "%d" % run["lost"],
                "%.2f" % (run["capture_bytes"] / MIB),
                "%.1f" % run["processor_s"],
                "%.0f" % (run["peak_bytes"] / MIB),
            ]
