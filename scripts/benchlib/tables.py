"""Markdown out of measurements."""

from . import limits
from .figures import summary
from .process import MIB
from .speed import NAMES, Workload

BEGIN, END = "<!-- scripts/bench --update: begin -->\n", "<!-- scripts/bench --update: end -->\n"
COLUMNS = {
    "memray": "Memray",
    "memray-objects": "Memray, objects",
    "prof": "prof",
    "prof-objects": "prof, objects",
}
PAIRS = {"block": "`malloc`, `free`", "object": "`PyObject_Malloc`, `PyObject_Free`"}


class Runs:
    """The measurements that came about, by workload, Python, configuration, round."""

    def __init__(self, runs):
        self.all = runs
        good = [run for run in runs if "failure" not in run and run["workload"] in NAMES]
        self.by_key = {self.key(run): run for run in good}
        for run in good:
            base = self.by_key.get((run["workload"], run["python"], "unprofiled", run["round"]))
            if base:
                run["added_bytes"] = run["grown_bytes"] - base["grown_bytes"]

    @staticmethod
    def key(run):
        return run["workload"], run["python"], run["configuration"], run["round"]

    def cases(self):
        """Every workload with every Python, in the order of the documents."""
        found = {(key[0], key[1]) for key in self.by_key}
        return sorted(found, key=lambda case: (NAMES.index(case[0]), case[1]))

    def of(self, case, configuration):
        """Pairs of a run and the unprofiled one of its round."""
        rounds = sorted({key[3] for key in self.by_key})
        pairs = [
            (self.by_key.get((*case, configuration, number)), self.by_key.get((*case, "unprofiled", number)))
            for number in rounds
        ]
        return [(run, base) for run, base in pairs if run and base]

    def figures(self, case, configuration, figure):
        """Median, low and high of a figure of such pairs; None if there are none."""
        return summary([figure(run, base) for run, base in self.of(case, configuration)])


def table(head, rows):
    """A table; empty columns stay, for they say that something is missing."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def spread(figures, form="%.2f"):
    """`median (low–high)`."""
    return f"{form} ({form}–{form})" % figures if figures else ""


def plain(figures, form="%.1f"):
    """The median alone."""
    return form % figures[0] if figures else ""


def wall_ratio(run, base):
    if "requests_per_s" in run:
        return run["requests_per_s"] / base["requests_per_s"]
    return run["wall_s"] / base["wall_s"]


def user_ratio(run, base):
    return run["user_s"] / base["user_s"] if "requests_per_s" not in run else per_request(run) / per_request(base)


def per_request(run):
    return run["user_s"] / (run["requests_per_s"] * run["wall_s"])


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
    rows = []
    for case in runs.cases():
        row = [*case, unprofiled(runs, case)]
        for name in COLUMNS:
            figures = runs.figures(case, name, wall_ratio)
            row.append(spread(figures))
            if name.startswith("prof"):
                row.append(verdict(case, name, figures))
        rows.append(row)
    return table(head, rows)


def unprofiled(runs, case):
    figure = "requests_per_s" if case[0] == "web" else "wall_s"
    figures = runs.figures(case, "unprofiled", lambda run, _: run[figure])
    return plain(figures, "%.0f/s" if case[0] == "web" else "%.2f s")


def user_table(runs):
    """User-space processor time."""
    rows = []
    for case in runs.cases():
        rows.append([*case, *(spread(runs.figures(case, name, user_ratio)) for name in COLUMNS)])
    return table(["workload", "Python", *COLUMNS.values()], rows)


def latency_table(runs):
    """The slowest requests."""
    rows = []
    for case in runs.cases():
        if case[0] == "web":
            every = ["unprofiled", *COLUMNS]
            rows.append([case[1], *(spread(runs.figures(case, n, lambda run, _: run["p99_ms"]), "%.1f") for n in every)])
    return table(["Python", "unprofiled", *COLUMNS.values()], rows) if rows else ""


def cost_table(runs, suffix):
    """What an allocation and a recording cost. Memray's allocations are taken to be
    as many as prof's in the same round."""
    prof, memray = "prof" + suffix, "memray" + suffix
    head = ["workload", "Python", "allocations", "ns each", "Memray", "bytes each", "Memray", "lost"]
    head += ["target RSS MiB", "Memray", "prof MiB", "prof processors"]
    rows = []
    for case in runs.cases():
        counts = {run["round"]: run["allocations"] for run, _ in runs.of(case, prof)}
        if not counts:
            continue

        def nanoseconds(run, base):
            count = counts.get(run["round"])
            many = count and count > 100_000 and "requests_per_s" not in run
            return (run["wall_s"] - base["wall_s"]) / count * 1e9 if many else None

        def size(run, _):
            count = counts.get(run["round"])
            return run["capture_bytes"] / count if count and count > 100_000 else None

        row = [*case, plain(runs.figures(case, prof, lambda run, _: run["allocations"]), "%d")]
        for figure, form in ((nanoseconds, "%.0f"), (size, "%.1f")):
            row += [plain(runs.figures(case, name, figure), form) for name in (prof, memray)]
        row.append(str(sum(run["lost"] for run, _ in runs.of(case, prof))))
        row += [plain(runs.figures(case, name, lambda run, _: run["added_bytes"] / MIB)) for name in (prof, memray)]
        row.append(plain(runs.figures(case, prof, lambda run, _: run["tool_peak_bytes"] / MIB)))
        row.append(plain(runs.figures(case, prof, lambda run, _: run["tool_processors"]), "%.2f"))
        rows.append(row)
    return table(head, rows) if rows else ""


def disturbance_table(all_runs):
    """Attach times and pauses."""
    good = [run for run in all_runs if run["workload"] == "disturbance" and "failure" not in run]
    cases = dict.fromkeys((run["python"], run["mode"], run["configuration"]) for run in good)
    rows = []
    for case in cases:
        runs = [run for run in good if (run["python"], run["mode"], run["configuration"]) == case]

        def middle_and_most(figure, form="%.1f"):
            figures = [figure(run) for run in runs if figure(run) is not None]
            return f"{form} (%s)" % (summary(figures)[0], form % max(figures)) if figures else ""

        rows.append([
            case[0], case[1], COLUMNS[case[2]],
            middle_and_most(lambda run: run["attach_s"] * 1e3, "%.0f"),
            middle_and_most(lambda run: run["longest_pause_us"] and run["longest_pause_us"] / 1e3, "%.2f"),
            middle_and_most(lambda run: run["gap_alone_ns"] / 1e6),
            middle_and_most(lambda run: run["gap_attach_ns"] / 1e6),
            middle_and_most(lambda run: run["gap_detach_ns"] / 1e6),
        ])  # fmt: skip
    head = ["Python", "target", "tool", "attach, ms", "longest pause as prof says, ms"]
    head += ["longest gap without a tool, ms", "while attaching, ms", "while detaching, ms"]
    return table(head, rows) if rows else ""


def instruction_table(all_runs):
    """Instructions of an event."""
    good = [run for run in all_runs if run["workload"] == "instructions" and "failure" not in run]
    pythons = list(dict.fromkeys(run["python"] for run in good))
    rows = []
    for case in dict.fromkeys((run["kind"], run["scenario"]) for run in good):
        found = {run["python"]: run for run in good if (run["kind"], run["scenario"]) == case}
        rows.append([PAIRS[case[0]], case[1], *(instructions(found.get(python)) for python in pythons)])
    return table(["pair", "Python stack", *pythons], rows) if rows else ""


def instructions(run):
    if not run:
        return ""
    exact = run["least"] == run["most"]
    return "%d" % run["added"] if exact else "%d (%d–%d)" % (run["added"], run["least"], run["most"])


def limits_table(all_runs):
    """What is limited in absolute figures."""
    rows = list(limits.rows(all_runs))
    return table(["", "limit", "median", "largest", "above the limit"], rows) if rows else ""


def failures(all_runs):
    """Every run that did not come about."""
    lines = []
    for run in all_runs:
        if "failure" in run:
            names = [run.get(name) for name in ("workload", "mode", "python", "configuration")]
            lines.append("- %s: %s" % (" ".join(filter(None, names)), run["failure"]))
    return "\n".join(lines) + "\n" if lines else ""


def markdown(result):
    """Everything that was measured; sections without a measurement are left out."""
    runs = Runs(result["runs"])
    facts = "\n".join("- %s: %s" % item for item in result["machine"].items())
    speed = bool(runs.cases())
    sections = [
        ("Where and when", facts + "\n"),
        ("Elapsed time, ratio to unprofiled (web: requests kept)", speed and speed_table(runs)),
        ("User processor time of the target, ratio to unprofiled (web: per request)", speed and user_table(runs)),
        ("99th percentile of requests, ms", latency_table(runs)),
        ("Cost of a recording", cost_table(runs, "")),
        ("Cost of a recording with small objects", cost_table(runs, "-objects")),
        ("Disturbance, median (largest)", disturbance_table(runs.all)),
        ("Instructions added", instruction_table(runs.all)),
        ("Limits, over all runs of prof", limits_table(runs.all)),
        ("Failed runs", failures(runs.all)),
    ]
    return "\n".join("### %s\n\n%s" % section for section in sections if section[1])


def update(document, text):
    """Puts the text between the document's marks."""
    before, rest = document.read_text().split(BEGIN)
    after = rest.split(END)[1]
    document.write_text(before + BEGIN + "\n" + text + "\n" + END + after)
