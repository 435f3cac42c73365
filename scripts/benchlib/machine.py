"""What all this ran on."""

import os
import platform
import subprocess
from datetime import date
from pathlib import Path

from . import load

ROOT = Path(__file__).parent.parent.parent


def field(path, key):
    """The value of a `key : value` line."""
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "unknown")


def commit():
    """What is checked out, marked if it was changed."""
    command = ["git", "describe", "--always", "--dirty"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"


def version_of(prof):
    return subprocess.run([prof, "--version"], capture_output=True, text=True).stdout.strip()


def describe(bench):
    """Everything that a reader of the figures has to know."""
    memory = int(field("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)
    return {
        "date": date.today().isoformat(),
        "processor": "%d × %s" % (os.cpu_count(), field("/proc/cpuinfo", "model name")),
        "memory": "%.0f GiB" % memory,
        "system": "%s, Linux %s" % (platform.freedesktop_os_release()["PRETTY_NAME"], platform.release()),
        "load at the start": "%.1f" % os.getloadavg()[0],
        "prof": "%s, %s" % (version_of(bench.prof), "a given build" if bench.is_given else "commit " + commit()),
        "Memray": bench.interpreters[0].package_version("memray") if bench.with_memray else "left out",
        "Python": ", ".join(python.version for python in bench.interpreters),
        "requests by": load.generator(),
        "rounds": bench.pairs,
        "amount of work": "a tenth" if bench.quick else "full",
    }
