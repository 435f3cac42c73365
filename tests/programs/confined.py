"""Runs a command under a seccomp filter.

usage: confined.py ACTION NAME COMMAND ARGUMENTS...
"""

import os
import sys

from filtered import CALLS, against, install

install(against(sys.argv[1], *CALLS[sys.argv[2]]), 0)
os.execvp(sys.argv[3], sys.argv[3:])
