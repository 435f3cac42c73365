"""A C thread that keeps the interpreter's pointer to the death of code objects in a
register (storms.c)."""

import ctypes
import os

from harness import serve

hostile = ctypes.CDLL(os.environ["PROF_TEST_HOSTILE"])
hostile.catch_thread.restype = ctypes.c_uint64
TP_DEALLOC = 48
code_type = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "PyCode_Type"))
serve(
    {
        "load": lambda: hostile.start_loaded(ctypes.c_void_p(code_type + TP_DEALLOC)),
        "catch": lambda: hostile.catch_thread() != 0,
        "release": hostile.release_thread,
        "drop": hostile.stop_catchable,
    }
)
