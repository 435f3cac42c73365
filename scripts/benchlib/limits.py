"""What a recording may cost besides time: the limits, and how many runs of prof kept
them."""

from statistics import median

from . import runs
from .process import MIB


def scaled(name, divisor=1):
    """A figure of a run, divided; None if the run has none."""
    return lambda run: run[name] / divisor if run.get(name) is not None else None


def bytes_each_in_bigalloc(run):
    """Of blocks alone: with small objects most events are others."""
    counts = run["workload"] == "bigalloc" and run["configuration"] == "prof"
    return runs.bytes_each(run) if counts else None


#: What is limited, the limit, how it is written, and how a run tells.
LIMITS = [
    ("events lost", 0, "%.0f", scaled("lost")),
    ("capture on bigalloc, bytes an allocation", 8.8, "%.1f", bytes_each_in_bigalloc),
    ("added to the target besides the ring, MiB", 2, "%.2f", scaled("added_bytes", MIB)),
    ("peak of prof besides the ring, MiB", 64, "%.1f", scaled("tool_peak_bytes", MIB)),
    ("processors that prof keeps busy", 1, "%.2f", scaled("tool_processors")),
    ("attach, ms", 150, "%.0f", scaled("attach_s", 1e-3)),
    ("longest stop of a thread, ms", 1, "%.2f", scaled("longest_pause_us", 1e3)),
]


def rows(every):
    """Name, limit, median, largest and how many are above, over all runs of prof."""
    recorded = [run for run in every if run["configuration"].startswith("prof") and "attach_s" in run]
    for name, limit, form, figure in LIMITS:
        values = [value for value in map(figure, recorded) if value is not None]
        if values:
            above = sum(value > limit for value in values)
            yield [name, "%g" % limit, form % median(values), form % max(values), f"{above} of {len(values)}"]
