"""Workloads under each configuration, in turn, round after round.

    round 1   unprofiled  memray  memray-objects  prof  prof-objects
    round 2   memray  memray-objects  prof  prof-objects  unprofiled
    …

Each measurement is a fresh process. A ratio is taken within a round, so a machine
that changes its speed meanwhile moves both sides. The order turns, so nobody always
comes first.
"""

import ast
from pathlib import Path

from . import load
from .process import Failure, resident_bytes
from .target import Target

WORKLOADS = Path(__file__).parent.parent / "workloads"
NAMES = "calls objects bigalloc deep deepwalk numpy json threads asyncio web".split()
WORK_SECONDS = 300
QUICK = 10


class Workload:
    """A file of `workloads/`, read for its constants without running it."""

    def __init__(self, name, quick=False):
        self.name, self.path = name, WORKLOADS / (name + ".py")
        constants = constants_of(self.path)
        amount = constants["AMOUNT"]
        self.amount = max(amount // QUICK, 1) if quick else amount
        self.goals, self.requires = constants["GOALS"], constants.get("REQUIRES", [])
        self.request = constants.get("PATH")


def constants_of(path):
    """A module's names that are bound to literals."""
    constants = {}
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                constants[statement.targets[0].id] = ast.literal_eval(statement.value)
            except ValueError:
                pass
    return constants


def measure(workload, python, tool, scratch):
    """One run: the target's times, and what the tool says."""
    with Target(python, "runner.py", workload.path, workload.amount) as target:
        if workload.request:
            load.run(port(target), workload.request, 1)
        before, _ = resident_bytes(target.pid)
        capture = scratch / "capture"
        capture.unlink(missing_ok=True)
        with tool.attach(target.pid, capture) as recording:
            cost = recording.cost()
            result = serve(target, workload) if workload.request else target.ask("work", WORK_SECONDS)
            after, ring = resident_bytes(target.pid)
            result |= used(cost, recording.cost(), result["wall_s"])
            result |= recording.finish()
        result |= {"attach_s": recording.attach_s, "grown_bytes": after - ring - before}
        return result


def port(target):
    return int(target.greeting[-1].split()[1])


def serve(target, workload):
    target.ask("begin")
    requests = load.run(port(target), workload.request, workload.amount)
    return target.ask("end") | requests


def used(before, after, wall):
    """What the tool used between two looks."""
    if not after:
        return {}
    share = (after["processor_s"] - before["processor_s"]) / wall
    return {"tool_processors": share, "tool_peak_bytes": after["peak_bytes"]}


def rounds(workload, interpreter, tools, count, scratch, tell):
    """`count` rounds of all `tools`, by configuration; yields a run at a time."""
    names = list(tools)
    for number in range(count):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            key = {
                "workload": workload.name,
                "python": interpreter.version,
                "configuration": name,
                "round": number,
            }
            try:
                run = key | measure(workload, interpreter.python, tools[name], scratch)
            except Failure as failure:
                run = key | {"failure": str(failure)}
            tell(run)
            yield run
