"""Prints, for many code objects: first line, line table, and the line of each
range of instructions as the interpreter itself decodes it.

One JSON array a line: [name, first line, table in hex, [[start, end, line]…]];
a line is null where there is none.
"""
import dis
import json
import os
import sys
import types

FILES = ["argparse.py", "ast.py", "asyncio/base_events.py", "asyncio/tasks.py", "collections/__init__.py",
         "dataclasses.py", "enum.py", "inspect.py", "json/decoder.py", "pickle.py", "typing.py",
         "unittest/mock.py", "zipfile.py", "zipfile/__init__.py"]

AWKWARD = [
    "\n" * 100000 + "x = 1\n",
    "x = [\n" + "f(\n),\n" * 400 + "]\n",
    "def f():\n    return (" + "\n" * 5000 + "g())\n",
    "def f(a):\n    def g():\n        return a\n    return g\n",
    "async def f(a):\n    async with a as b:\n        async for c in b:\n            yield c\n",
    "try:\n  f()\nexcept A as e:\n  g()\nelse:\n  h()\nfinally:\n  i()\n",
    "x = " + " + ".join("y%d\\\n" % i for i in range(300)) + "\n",
    "x = 0;" * 1000 + "\n",
    "",
]


def code_objects(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from code_objects(constant)


def ranges(code):
    if sys.version_info >= (3, 10):
        return list(code.co_lines())
    starts = list(dis.findlinestarts(code))
    ends = [start for start, _ in starts[1:]] + [len(code.co_code)]
    return [[start, end, line] for (start, line), end in zip(starts, ends)]


def sources():
    library = os.path.dirname(os.__file__)
    for name in FILES:
        path = os.path.join(library, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                yield name, file.read()
    for index, text in enumerate(AWKWARD):
        yield "awkward %d" % index, text


def main():
    for name, text in sources():
        for code in code_objects(compile(text, name, "exec")):
            table = code.co_linetable if sys.version_info >= (3, 10) else code.co_lnotab
            print(json.dumps([name + ": " + code.co_name, code.co_firstlineno, table.hex(), ranges(code)]))


main()
