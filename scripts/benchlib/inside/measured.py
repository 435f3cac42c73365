"""Runs a command, and prints as JSON what it took: `measured.py COMMAND…`.

Kept small: the largest resident set that the kernel tells of a process includes the
moment before its exec, when it still was a copy of this one.
"""

import json
import os
import subprocess
import sys
import time


def main():
    nothing = subprocess.DEVNULL
    began = time.monotonic()
    process = subprocess.Popen(sys.argv[1:], stdin=nothing, stdout=nothing, stderr=nothing)
    _, status, usage = os.wait4(process.pid, 0)
    taken = {
        "wall_s": time.monotonic() - began,
        "processor_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss << 10,
        "status": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
