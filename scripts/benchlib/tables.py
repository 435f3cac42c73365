"""Tables in Markdown."""

from . import aggregate, agreement, limits, reports
from .figures import summary
from .process import MIB
from .runs import bytes_each, nanoseconds_each, pace, user_time
from .speed import Workload

COLUMNS = {
    "memray": "Memray",
    "memray-objects": "Memray, objects",
    "prof": "prof",
    "prof-objects": "prof, objects",
}
PAIRS = {"block": "`malloc`, `free`", "object": "`PyObject_Malloc`, `PyObject_Free`"}


def table(head, rows):
    """A table; nothing without rows. Empty columns stay, they say what is missing."""
    rows = list(rows)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n" if rows else ""


def spread(figures, form="%.2f"):
    """`median (low–high)`."""
    return f"{form} ({form}–{form})" % figures if figures else ""


def plain(figures, form="%.1f"):
    """The median alone."""
    return form % figures[0] if figures else ""


def verdict(case, configuration, figures):
    """The goal, and whether it is missed."""
    goal = Workload(case[0]).goals[configuration]
    if case[0] == "web":
        missed, text = figures and figures[0] < goal, "≥ %g" % goal
    elif goal == 1:
        missed, text = figures and figures[1] > 1, "1"
    else:
        missed, text = figures and figures[0] > goal, "≤ %g" % goal
    return text + (" **missed**" if missed else "")


def speed_table(runs):
    """Elapsed time beside the goals."""
    head = ["workload", "Python", "unprofiled"]
    for name, title in COLUMNS.items():
        head += [title, "goal"] if name.startswith("prof") else [title]
    return table(head, (speed_row(runs, case) for case in runs.cases()))


def speed_row(runs, case):
    form = "%.0f/s" if case[0] == "web" else "%.2f s"
    row = [*case, plain(runs.value(case, "unprofiled", pace), form)]
    for name in COLUMNS:
        figures = runs.ratio(case, name, pace)
        row.append(spread(figures))
        if name.startswith("prof"):
            row.append(verdict(case, name, figures))
    return row


def user_table(runs):
    """User-space processor time."""
    head = ["workload", "Python", *COLUMNS.values()]
    return table(head, ([*case, *user_ratios(runs, case)] for case in runs.cases()))


def user_ratios(runs, case):
    return [spread(runs.ratio(case, name, user_time)) for name in COLUMNS]


def latency_table(runs):
    """The slowest requests."""
    names = ["unprofiled", *COLUMNS]
    services = [case for case in runs.cases() if case[0] == "web"]
    rows = ([case[1], *(latency(runs, case, name) for name in names)] for case in services)
    return table(["Python", "unprofiled", *COLUMNS.values()], rows)


def latency(runs, case, name):
    return spread(runs.value(case, name, lambda run: run["p99_ms"]), "%.1f")


def cost_table(runs, suffix):
    """What an allocation and a recording cost."""
    prof, memray = "prof" + suffix, "memray" + suffix
    head = ["workload", "Python", "allocations", "ns each", "Memray", "bytes each", "Memray", "lost"]
    head += ["target RSS MiB", "Memray", "prof MiB", "prof processors"]
    cases = [case for case in runs.cases() if runs.of(case, prof)]
    return table(head, (cost_row(runs, case, prof, memray) for case in cases))


def cost_row(runs, case, prof, memray):
    def value(name, figure, form):
        return plain(runs.value(case, name, figure), form)

    return [
        *case,
        value(prof, lambda run: run["allocations"], "%d"),
        *(value(name, nanoseconds_each, "%.0f") for name in (prof, memray)),
        *(value(name, bytes_each, "%.1f") for name in (prof, memray)),
        str(sum(run["lost"] for run, _ in runs.of(case, prof))),
        *(value(name, lambda run: run["added_bytes"] / MIB, "%.1f") for name in (prof, memray)),
        value(prof, lambda run: run["tool_peak_bytes"] / MIB, "%.1f"),
        value(prof, lambda run: run["tool_processors"], "%.2f"),
    ]


def disturbance_table(all_runs):
    """Attach times and pauses."""
    good = [run for run in all_runs if run["workload"] == "disturbance" and "failure" not in run]
    by_case = {}
    for run in good:
        by_case.setdefault((run["python"], run["mode"], run["configuration"]), []).append(run)
    head = ["Python", "target", "tool", "attach, ms", "longest pause as prof says, ms"]
    head += ["longest gap without a tool, ms", "while attaching, ms", "while detaching, ms"]
    return table(head, (disturbance_row(case, runs) for case, runs in by_case.items()))


def disturbance_row(case, runs):
    def cell(name, per_ms, form="%.1f"):
        values = [run[name] / per_ms for run in runs if run[name] is not None]
        return f"{form} ({form})" % (summary(values)[0], max(values)) if values else ""

    python, mode, configuration = case
    gaps = ("gap_alone_ns", "gap_attach_ns", "gap_detach_ns")
    return [
        python,
        mode,
        COLUMNS[configuration],
        cell("attach_s", 1e-3, "%.0f"),
        cell("longest_pause_us", 1e3, "%.2f"),
        *(cell(gap, 1e6) for gap in gaps),
    ]


def instruction_table(all_runs):
    """Instructions of an event."""
    good = [run for run in all_runs if run["workload"] == "instructions" and "failure" not in run]
    pythons = list(dict.fromkeys(run["python"] for run in good))
    by_case = {}
    for run in good:
        by_case.setdefault((run["kind"], run["scenario"]), {})[run["python"]] = run
    rows = (
        [PAIRS[kind], scenario, *(instructions(found.get(python)) for python in pythons)]
        for (kind, scenario), found in by_case.items()
    )
    return table(["pair", "Python stack", *pythons], rows)


def instructions(run):
    if not run:
        return ""
    exact = run["least"] == run["most"]
    return "%d" % run["added"] if exact else "%d (%d–%d)" % (run["added"], run["least"], run["most"])


def limits_table(all_runs):
    """What is limited in absolute figures."""
    return table(["", "limit", "median", "largest", "above the limit"], limits.rows(all_runs))


def reports_table(all_runs):
    """What reports take, beside Memray's."""
    head = ["capture", "events", "report"]
    head += [title for figure in reports.HEAD for title in (figure, "Memray", "ratio")]
    return table(head, reports.table_rows(all_runs))


def aggregate_table(all_runs):
    """Captures without events, beside one with them."""
    return table(aggregate.HEAD, aggregate.rows(all_runs))


def agreement_table(all_runs):
    """What both tools say of the same cases; bold where they differ, Memray first."""
    head = ["case", "peak", "leaks", *("temporary, %s" % threshold for threshold in agreement.THRESHOLDS)]
    good = [run for run in all_runs if run["workload"] == "agreement" and "failure" not in run]
    return table(head, (row for run in good for row in agreement.rows(run)))
