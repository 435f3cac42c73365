"""All tables, as they go to stdout and into `docs/performance.md`."""

from . import tables
from .runs import Runs

BEGIN, END = "<!-- scripts/bench --update: begin -->\n", "<!-- scripts/bench --update: end -->\n"


def failures(runs):
    """Every run that did not come about."""
    lines = []
    for run in runs:
        if "failure" in run:
            names = [run.get(name) for name in ("workload", "mode", "kind", "python", "configuration")]
            lines.append("- %s: %s\n" % (" ".join(filter(None, names)), run["failure"]))
    return "".join(lines)


def markdown(result):
    """Everything that was measured; sections without a measurement are left out."""
    every = result["runs"]
    runs = Runs(every)
    facts = "".join("- %s: %s\n" % item for item in result["machine"].items())
    sections = {
        "Where and when": facts,
        "Elapsed time, ratio to unprofiled (web: requests kept)": tables.speed_table(runs),
        "User processor time of the target, ratio to unprofiled (web: per request)": tables.user_table(runs),
        "99th percentile of requests, ms": tables.latency_table(runs),
        "Cost of a recording": tables.cost_table(runs, ""),
        "Cost of a recording with small objects": tables.cost_table(runs, "-objects"),
        "Disturbance, median (largest)": tables.disturbance_table(every),
        "Instructions added": tables.instruction_table(every),
        "Limits, over all runs of prof": tables.limits_table(every),
        "Failed runs": failures(every),
    }
    return "\n".join("### %s\n\n%s" % section for section in sections.items() if section[1])


def update(path, text):
    """Puts the text between the document's marks."""
    before, rest = path.read_text().split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(before + BEGIN + "\n" + text + "\n" + END + after)
