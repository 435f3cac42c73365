"""A C thread that allocates until a signal holds it wherever it is (storms.c)."""

import ctypes
import os

from harness import serve

hostile = ctypes.CDLL(os.environ["PROF_TEST_HOSTILE"])
hostile.catch_thread.restype = ctypes.c_uint64
assert hostile.start_catchable() == 0
serve({"catch": lambda: "%x" % hostile.catch_thread(), "release": hostile.release_thread}, lambda: hostile.stop_catchable() == 0)
