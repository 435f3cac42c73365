"""Blocks in a function of a subinterpreter that runs in the main thread."""
import os
import sys

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters

CODE = """
import os
def inner():
    os.read(100, 1)

inner()
"""


def outer():
    interpreters.run_string(interpreters.create(), CODE)


reader, writer = os.pipe()
os.dup2(reader, 100)
print("ready", flush=True)
outer()
