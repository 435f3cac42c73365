"""What an event costs in instructions: an allocation and its free, recorded, less the
same pair unrecorded, in a real target that is attached to as usual."""

from statistics import median

from . import stepper
from .process import Failure
from .target import Target

ROUNDS = 6
#: Which configuration records which kind of pair (`inside/stepped.py`).
CONFIGURATIONS = {"block": "prof", "object": "prof-objects"}
#: What is said to the target, and what the sections of one turn of it are.
SCENARIOS = {
    "unchanged 4": ["unchanged, 4 frames"],
    "unchanged 20": ["unchanged, 20 frames"],
    "unchanged 200": ["unchanged, 200 frames"],
    "moved 4": ["top frame moved on, 4 frames"],
    "fresh 1": ["one frame popped", "one frame pushed"],
    "fresh 200": ["200 frames popped", "200 frames pushed"],
}


def scenarios(kind):
    """Where small objects are recorded, ctypes has asked for some before the first
    section of a frame, at the same instruction: the stack is always as it was there."""
    is_block = kind == "block"
    return {key: names for key, names in SCENARIOS.items() if is_block or "unchanged" in key}


def sections(target, kind):
    """The counts of every scenario by name, without the turn that warms up."""
    counts = {}
    for command, names in scenarios(kind).items():
        found = stepper.count(target.pid, ROUNDS * len(names), lambda: target.say(command))
        target.answer(10)
        for place, name in enumerate(names):
            counts[name] = found[place :: len(names)][1:]
    return counts


def measure(interpreter, tool, kind, helper, scratch):
    """Every scenario in one target, first unrecorded, then recorded; yields runs."""
    capture = scratch / "capture"
    capture.unlink(missing_ok=True)
    with Target(interpreter.python, "stepped.py", helper, kind) as target:
        alone = sections(target, kind)
        with tool.attach(target.pid, capture) as recording:
            recorded = sections(target, kind)
            recording.finish()
    for name in alone:
        added = [count - median(alone[name]) for count in recorded[name]]
        yield {
            "workload": "instructions",
            "python": interpreter.version,
            "configuration": CONFIGURATIONS[kind],
            "scenario": name,
            "kind": kind,
            "pair_alone": median(alone[name]),
            "added": median(added),
            "least": min(added),
            "most": max(added),
        }


def runs(interpreter, tool, kind, helper, scratch, tell):
    """The same; a failure is a run too."""
    try:
        for run in measure(interpreter, tool, kind, helper, scratch):
            tell(run)
            yield run
    except Failure as failure:
        run = {
            "workload": "instructions",
            "python": interpreter.version,
            "configuration": CONFIGURATIONS[kind],
            "failure": str(failure),
        }
        tell(run)
        yield run
