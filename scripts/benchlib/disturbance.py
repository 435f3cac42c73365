"""How long an attach takes, and how long the target is held up by it.

Every attach is to a fresh process with a heartbeat (`inside/heartbeat.py`). The
longest gap of the beat while the tool attaches is compared with that of an equally
long stretch of the same process before anything was attached; so the length of an
attach is tried out once first.
"""

import time

from .process import Failure
from .target import Target

MODES = ("blocked", "polling", "busy")
#: Memray waits for the target to allocate, which one blocked in read(2) never does.
ONLY_AWAKE = ("memray",)
REPETITIONS = 10


def measure(interpreter, tool, mode, helper, window_s, scratch):
    """One attach to a fresh process. `window_s` is how long the heartbeat is watched
    without a tool."""
    with Target(interpreter.python, "heartbeat.py", helper, mode) as target:
        target.ask("gap")
        time.sleep(window_s)
        alone = target.ask("gap")
        capture = scratch / "capture"
        capture.unlink(missing_ok=True)
        with tool.attach(target.pid, capture) as recording:
            attached = target.ask("gap")
            facts = recording.finish()
            detached = target.ask("gap")
        return {
            "attach_s": recording.attach_s,
            "gap_alone_ns": alone,
            "gap_attach_ns": attached,
            "gap_detach_ns": detached,
            "longest_pause_us": facts.get("longest_pause_us"),
        }


def repetitions(interpreter, name, tool, mode, helper, count, scratch, tell):
    """`count` attaches; yields a run at a time. The first tells how long one takes and
    is not counted."""
    window_s = 1.0
    for number in range(-1, count):
        key = {
            "workload": "disturbance",
            "python": interpreter.version,
            "configuration": name,
            "mode": mode,
            "round": number,
        }
        try:
            run = key | measure(interpreter, tool, mode, helper, window_s, scratch)
            window_s = run["attach_s"]
        except Failure as failure:
            run = key | {"failure": str(failure)}
        if number >= 0:
            tell(run)
            yield run


def all_modes(interpreter, tools, helper, count, scratch, tell):
    """Every tool on every kind of target."""
    for mode in MODES:
        for name, tool in tools.items():
            if mode != "blocked" or name not in ONLY_AWAKE:
                yield from repetitions(interpreter, name, tool, mode, helper, count, scratch, tell)
