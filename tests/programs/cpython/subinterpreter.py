"""Blocks in a function of a subinterpreter that runs in the main thread."""
import os
import sys

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
elif sys.version_info >= (3, 8):
    import _xxsubinterpreters as interpreters
else:
    import _testcapi

CODE = """
import os
def inner():
    os.read(100, 1)

inner()
"""


def outer():
    if sys.version_info >= (3, 8):
        interpreters.run_string(interpreters.create(), CODE)
    else:
        _testcapi.run_in_subinterp(CODE)


reader, writer = os.pipe()
os.dup2(reader, 100)
print("ready", flush=True)
outer()
