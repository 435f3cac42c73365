"""Measurements of workloads, put beside the unprofiled run of their round."""

from .figures import summary
from .speed import NAMES

#: Fewer allocations than these say nothing about the time and the bytes of one.
ENOUGH_FOR_TIME, ENOUGH_FOR_BYTES = 1_000_000, 100_000


class Runs:
    """The measurements that came about, by workload, Python, configuration, round."""

    def __init__(self, runs):
        good = [run for run in runs if "failure" not in run and run["workload"] in NAMES]
        self.by_key = {key(run): run for run in good}
        for run in good:
            base = self.by_key.get(key(run, "unprofiled"))
            if base:
                run["added_bytes"] = run["grown_bytes"] - base["grown_bytes"]
                run["added_s"] = processor_time(run) - processor_time(base)
            self._count_for(run)

    def _count_for(self, run):
        """Memray's allocations are taken to be as many as prof's in the same round."""
        if run["configuration"].startswith("memray"):
            like = self.by_key.get(key(run, run["configuration"].replace("memray", "prof")))
            run["allocations"] = like["allocations"] if like else None

    def cases(self):
        """Every workload with every Python, in the order of the documents."""
        found = {(name, python) for name, python, *_ in self.by_key}
        return sorted(found, key=lambda case: (NAMES.index(case[0]), case[1]))

    def of(self, case, configuration):
        """Pairs of a run and the unprofiled one of its round."""
        rounds = sorted({number for *_, number in self.by_key})
        pairs = [
            (self.by_key.get((*case, configuration, number)), self.by_key.get((*case, "unprofiled", number)))
            for number in rounds
        ]
        return [(run, base) for run, base in pairs if run and base]

    def ratio(self, case, configuration, figure):
        """Median, low and high of a figure's ratio to unprofiled; None without runs."""
        return summary([figure(run) / figure(base) for run, base in self.of(case, configuration)])

    def value(self, case, configuration, figure):
        """The same of a figure itself."""
        return summary([figure(run) for run, _ in self.of(case, configuration)])


def key(run, configuration=None):
    return run["workload"], run["python"], configuration or run["configuration"], run["round"]


def pace(run):
    """Elapsed time; of a service, requests a second."""
    return run["requests_per_s"] if "requests_per_s" in run else run["wall_s"]


def user_time(run):
    """User processor time; of a service, for a request."""
    if "requests_per_s" in run:
        return run["user_s"] / (run["requests_per_s"] * run["wall_s"])
    return run["user_s"]


def processor_time(run):
    return run["user_s"] + run["system_s"]


def has_many(run, enough):
    return (run.get("allocations") or 0) >= enough


def nanoseconds_each(run):
    """Processor time added for an allocation; None where it says nothing."""
    if not has_many(run, ENOUGH_FOR_TIME) or "requests_per_s" in run:
        return None
    return run["added_s"] / run["allocations"] * 1e9


def bytes_each(run):
    """Bytes of capture for an allocation; None where it says nothing."""
    return run["capture_bytes"] / run["allocations"] if has_many(run, ENOUGH_FOR_BYTES) else None
