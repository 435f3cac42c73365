"""What may be attached: nothing, Memray, prof; each with and without small objects.

    tool = Prof(binary)                   how to attach
    with tool.attach(pid, path) as recording:      attached, every hook is live
        recording.cost()                  what the tool itself uses at this moment
        facts = recording.finish()        detached; what the capture says
"""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass

from .process import Failure, Lines, peak_resident_bytes, processor_seconds, resident_bytes

FLAG = "--trace-python-allocators"
ATTACH_SECONDS = 60
FINISH_SECONDS = 120


def complete(command, seconds):
    """Runs a command to its end, with all that it started if the time is up."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failure("no end within %d s: %s" % (seconds, " ".join(command))) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        last = (errors.strip() or out.strip()).splitlines()[-1:]
        raise Failure("status %d: %s" % (process.returncode, "".join(last)))
    return out


class Recording:
    """A tool that is attached; here the one that does nothing."""

    def __init__(self):
        self.attach_s = 0.0

    def cost(self):
        """Processor seconds so far, peak memory besides the ring."""
        return {}

    def finish(self):
        """Detaches. What is known about the capture."""
        return {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@dataclass(frozen=True)
class Unprofiled:
    """No tool."""

    def attach(self, pid, path):
        return Recording()


@dataclass(frozen=True)
class Memray:
    """Memray of an interpreter that has it."""

    python: str
    flags: tuple = ()

    def attach(self, pid, path):
        return MemrayRecording(self, pid, path)


class MemrayRecording(Recording):
    def __init__(self, tool, pid, path):
        self.memray, self.pid, self.path = [tool.python, "-m", "memray"], pid, path
        began = time.monotonic()
        options = ["--method", "gdb", "-o", str(path), *tool.flags]
        complete([*self.memray, "attach", *options, str(pid)], ATTACH_SECONDS)
        self.attach_s = time.monotonic() - began

    def finish(self):
        complete([*self.memray, "detach", "--method", "gdb", str(self.pid)], FINISH_SECONDS)
        return {"capture_bytes": self.path.stat().st_size}


@dataclass(frozen=True)
class Prof:
    """A build of prof."""

    binary: str
    flags: tuple = ()

    def knows(self, flag):
        """Whether `attach` has this option."""
        return flag in complete([self.binary, "attach", "--help"], 10)

    def attach(self, pid, path):
        return ProfRecording(self, pid, path)


class ProfRecording(Recording):
    def __init__(self, tool, pid, path):
        self.binary, self.path = tool.binary, path
        command = [tool.binary, "attach", str(pid), "--quiet", "-o", str(path), *tool.flags]
        began = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.lines = Lines(self.process.stderr)
        try:
            line = self.lines.next(ATTACH_SECONDS)
        except Failure:
            self.__exit__()
            raise
        if not line.startswith("prof: recording"):
            self.__exit__()
            raise Failure(line)
        self.attach_s = time.monotonic() - began

    def cost(self):
        pid = self.process.pid
        _, ring = resident_bytes(pid)
        return {
            "processor_s": processor_seconds(pid),
            "peak_bytes": peak_resident_bytes(pid) - ring,
        }

    def finish(self):
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(FINISH_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure("prof: no end within %d s" % FINISH_SECONDS) from None
        if status:
            raise Failure("prof: status %d: %s" % (status, self.process.stderr.read().decode().strip()))
        return self._facts()

    def _facts(self):
        """What the capture says of itself."""
        stats = json.loads(complete([self.binary, "stats", "--json", str(self.path)], FINISH_SECONDS))
        return {
            "capture_bytes": self.path.stat().st_size,
            "allocations": stats["total_num_allocations"],
            "lost": stats["lost_events"],
            "longest_pause_us": stats["longest_pause_us"],
        }

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
