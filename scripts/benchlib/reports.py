"""How long reports of large captures take, and how much memory, beside Memray's.

    workload ─► prof attach   ─► capture ─► each report, round after round
             └► memray attach ─► capture ─► each report, in turn with prof's

The two captures are of two runs of one deterministic workload; of the largest one there is
only prof's. Times are of processors, user and system, and elapsed beside them: others who
use the machine meanwhile change the first less. Of several rounds the least counts.
"""

import json
import sys
from dataclasses import dataclass, replace

from .process import MIB, Failure
from .speed import QUICK, WORKLOADS
from .target import INSIDE, Target
from .tools import FLAG, Memray, Prof, complete

WORK_SECONDS = 3600
REPORT_SECONDS = 3600
NAMES = ("prof", "memray")


@dataclass(frozen=True)
class Captured:
    """A workload of whose captures reports are made."""

    workload: str
    flags: tuple
    amount: int
    is_large: bool = False

    @property
    def title(self):
        return self.workload + (" (small ones too)" if self.flags else "")


#: Two of about 10 M events, one of about 100 M.
CAPTURED = (
    Captured("bigalloc", (), 5_000_000),
    Captured("objects", (FLAG,), 63),
    Captured("objects", (FLAG,), 630, is_large=True),
)

#: Of each report the arguments for prof and for Memray.
REPORTS = {
    "flame graph": (["flamegraph"], ["flamegraph", "--no-web"]),
    "over time": (["flamegraph", "--temporal"], ["flamegraph", "--no-web", "--temporal"]),
    "leaks": (["flamegraph", "--leaks"], ["flamegraph", "--no-web", "--leaks"]),
    "table": (["table"], ["table"]),
    "stats": (["stats"], ["stats"]),
    "summary": (["summary"], ["summary"]),
}
#: Those that write a page.
PAGES = ("flamegraph", "table")
#: Those that are made of the largest capture.
OF_LARGE = ("flame graph", "stats")


def tool_of(name, tools, flags):
    tool = tools[name]
    return Prof(tool.binary, flags) if name == "prof" else Memray(tool.python, flags)


def words_of(tool):
    return [tool.binary] if isinstance(tool, Prof) else [tool.python, "-m", "memray"]


def record(captured, tool, python, path):
    """Records the workload."""
    path.unlink(missing_ok=True)
    workload = WORKLOADS / (captured.workload + ".py")
    with Target(python, "runner.py", workload, captured.amount) as target:
        with tool.attach(target.pid, path) as recording:
            target.ask("work", WORK_SECONDS)
            recording.finish()


def events_of(prof, path):
    stats = json.loads(complete([prof.binary, "stats", "--json", str(path)], REPORT_SECONDS))
    return stats["total_num_allocations"] + stats["total_num_deallocations"]


def make(command, capture, page):
    """Makes a report once: what that took."""
    page.unlink(missing_ok=True)
    to_page = ["-o", str(page)] if set(PAGES) & set(command) else []
    measured = [sys.executable, "-E", "-S", "-B", str(INSIDE / "measured.py")]
    taken = json.loads(complete([*measured, *command, *to_page, str(capture)], REPORT_SECONDS))
    if taken.pop("status"):
        raise Failure("no report: %s" % " ".join(command))
    return taken | {"page_bytes": page.stat().st_size if to_page else None}


def runs(python, tools, count, scratch, tell, quick=False):
    """Yields a measurement for each capture, report, tool and round."""
    for captured in CAPTURED:
        if quick:
            captured = replace(captured, amount=max(captured.amount // QUICK, 1))
        yield from runs_of(captured, python, tools, count, scratch, tell)


def runs_of(captured, python, tools, count, scratch, tell):
    names = [name for name in NAMES if name in tools and (name == "prof" or not captured.is_large)]
    paths = {name: scratch / ("reports." + name) for name in names}
    key = {"workload": "reports", "capture": captured.title, "is_large": captured.is_large}
    key["python"] = python.version
    try:
        for name in names:
            record(captured, tool_of(name, tools, captured.flags), python.python, paths[name])
            key[name + "_capture_bytes"] = paths[name].stat().st_size
        key["events"] = events_of(tools["prof"], paths["prof"])
        for number in range(count):
            yield from round_of(key | {"round": number}, tools, paths, scratch, tell)
    except Failure as failure:
        yield key | {"kind": "recording", "failure": str(failure)}
    finally:
        for path in paths.values():
            path.unlink(missing_ok=True)


def round_of(key, tools, paths, scratch, tell):
    for report, arguments in REPORTS.items():
        if key["is_large"] and report not in OF_LARGE:
            continue
        for name, path in paths.items():
            command = [*words_of(tools[name]), *arguments[NAMES.index(name)]]
            run = key | {"kind": report, "configuration": name}
            try:
                run |= make(command, path, scratch / "page.html")
            except Failure as failure:
                run["failure"] = str(failure)
            tell(run)
            yield run


def table_rows(all_runs):
    """Rows of the table: the least of all rounds, and how prof compares."""
    cases = {}
    for run in all_runs:
        if run["workload"] == "reports" and "failure" not in run:
            case = run["capture"], run["events"], run["kind"]
            cases.setdefault(case, {}).setdefault(run["configuration"], []).append(run)
    for (capture, events, report), by_tool in cases.items():
        row = [capture, "%.1f M" % (events / 1e6), report]
        yield row + [cell for figure in FIGURES for cell in cells(by_tool, *figure)]


#: What is compared: the figure, how it is written, by what it is divided.
FIGURES = (("processor_s", "%.2f", 1), ("wall_s", "%.2f", 1), ("peak_bytes", "%.0f", MIB), ("page_bytes", "%.2f", MIB))
HEAD = ["processor s", "elapsed s", "peak MiB", "page MiB"]


def cells(by_tool, figure, form, unit):
    """Of prof, of Memray, and the ratio."""
    least = {}
    for name, of_tool in by_tool.items():
        values = [run[figure] for run in of_tool if run[figure] is not None]
        if values:
            least[name] = min(values) / unit
    shown = [form % least[name] if name in least else "" for name in NAMES]
    return [*shown, "%.2f" % (least["prof"] / least["memray"]) if len(least) == 2 else ""]
