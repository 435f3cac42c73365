"""All tables, as they go to stdout and into the documents."""

from . import tables
from .runs import Runs

#: Parts of documents that are replaced: the file, and the mark around the part.
PARTS = {
    "recording": ("performance.md", "scripts/bench --update"),
    "reports": ("performance.md", "scripts/bench reports --update"),
    "aggregate": ("performance.md", "scripts/bench aggregate --update"),
    "agreement": ("accuracy.md", "scripts/bench agreement --update"),
}


def failures(runs):
    """Every run that did not come about."""
    lines = []
    for run in runs:
        if "failure" in run:
            names = [run.get(name) for name in ("workload", "capture", "mode", "kind", "python", "configuration")]
            lines.append("- %s: %s\n" % (" ".join(filter(None, names)), run["failure"]))
    return "".join(lines)


def markdown(result):
    """Everything that was measured, by part; what has no measurement is left out."""
    every = result["runs"]
    runs = Runs(every)
    facts = {"Where and when": "".join("- %s: %s\n" % item for item in result["machine"].items())}
    recording = {
        "Elapsed time, ratio to unprofiled (web: requests kept)": tables.speed_table(runs),
        "User processor time of the target, ratio to unprofiled (web: per request)": tables.user_table(runs),
        "99th percentile of requests, ms": tables.latency_table(runs),
        "Cost of a recording": tables.cost_table(runs, ""),
        "Cost of a recording with small objects": tables.cost_table(runs, "-objects"),
        "Disturbance, median (largest)": tables.disturbance_table(every),
        "Instructions added": tables.instruction_table(every),
        "Limits, over all runs of prof": tables.limits_table(every),
    }
    parts = {
        "recording": recording,
        "reports": {"Reports": tables.reports_table(every)},
        "aggregate": {"Captures without events": tables.aggregate_table(every)},
        "agreement": {"Agreement": tables.agreement_table(every)},
    }
    parts = {name: sections for name, sections in parts.items() if any(sections.values())}
    failed = {"Failed runs": failures(every)}
    return {name: joined(facts | sections | failed) for name, sections in parts.items()}


def joined(sections):
    return "\n".join("### %s\n\n%s" % section for section in sections.items() if section[1])


def update(directory, texts):
    """Puts each text between the marks of its part."""
    for name, text in texts.items():
        file, mark = PARTS[name]
        path = directory / file
        begin, end = ("<!-- %s: %s -->\n" % (mark, edge) for edge in ("begin", "end"))
        before, rest = path.read_text().split(begin)
        after = rest.split(end)[1]
        path.write_text(before + begin + "\n" + text + "\n" + end + after)
