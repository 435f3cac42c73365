"""What prof and Memray say of the same deterministic program.

`inside/marked.py` does the cases; each is a function that alone allocates its size, by
`valloc` or `mmap`, so its figures are free of what the interpreter does meanwhile. The two
tools record a process each. Compared are, by function: bytes and blocks at the peak,
leaked, and temporary for several thresholds.
"""

import ast
import json
import subprocess
from pathlib import Path

from .process import Failure, Lines
from .tools import Prof, complete

INSIDE = Path(__file__).parent / "inside"
PROGRAM = INSIDE / "marked.py"
#: Functions that a case has called by another thread.
CALLED = ("handed_over", "stays_there")
THRESHOLDS = ("0", "1", "2", "3", "10")
SECONDS = 60


def cases():
    """The functions of the program that allocate, in their order."""
    for statement in ast.parse(PROGRAM.read_text()).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "CASES":
            return [name.id for name in statement.value.elts] + [*CALLED]
    raise Failure("marked.py has no cases")


def compile_library(scratch):
    library = scratch / "marked.so"
    flags = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-Wl,-z,now"]
    subprocess.run(["cc", *flags, "-o", str(library), str(INSIDE / "marked.c")], check=True)
    return library


class Program:
    """The program, ready to begin."""

    def __init__(self, *command):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*map(str, command)], stdin=pipe, stdout=pipe)
        self.lines = Lines(self.process.stdout)
        self.expect("ready")

    def expect(self, word):
        line = self.lines.next(SECONDS)
        if line != word:
            raise Failure("marked.py said %r" % line)

    def begin(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def record_memray(python, library, scratch):
    capture = scratch / "marked.memray"
    capture.unlink(missing_ok=True)
    with Program(python, "-B", PROGRAM, library, capture) as program:
        program.expect("done")
    figures = INSIDE / "memray_figures.py"
    return json.loads(complete([python, "-B", str(figures), str(capture), *THRESHOLDS], SECONDS))


def record_prof(prof, python, library, scratch):
    capture = scratch / "marked.prof"
    capture.unlink(missing_ok=True)
    with Program(python, "-B", PROGRAM, library) as program:
        with Prof(prof).attach(program.process.pid, capture) as recording:
            program.begin()
            program.expect("done")
            recording.finish()
    stats = {threshold: stats_of(prof, capture, threshold) for threshold in THRESHOLDS}
    whole = stats[THRESHOLDS[0]]
    return {
        "peak_bytes": whole["metadata"]["peak_memory"],
        "peak": by_function(whole["top_allocations_at_peak"]),
        "leaks": by_function(whole["leaks"]["top"]),
        "temporary": {
            threshold: by_location(found["temporary"]["top"]) for threshold, found in stats.items()
        },
    }


def stats_of(prof, capture, threshold):
    every = ["-n", "1000000", "--within", threshold]
    return json.loads(complete([prof, "stats", "--json", *every, str(capture)], SECONDS))


def by_function(held):
    """Bytes and blocks by the innermost function."""
    sums = {}
    for row in held:
        one = sums.setdefault(row["stack"][0][0] if row["stack"] else "", [0, 0])
        one[0] += row["size"]
        one[1] += row["count"]
    return sums


def by_location(rows):
    """Bytes by function; these rows do not tell blocks."""
    sums = {}
    for row in rows:
        one = sums.setdefault(row["location"].split(":")[0], [0])
        one[0] += row["size"]
    return sums


def run(python, prof, scratch, tell):
    """One comparison."""
    library = compile_library(scratch)
    result = {"workload": "agreement", "configuration": "both", "python": python.version, "cases": cases()}
    try:
        result["memray"] = record_memray(python.python, library, scratch)
        result["prof"] = record_prof(prof, python.python, library, scratch)
    except Failure as failure:
        result["failure"] = str(failure)
    tell(result)
    yield result


def rows(run):
    """A row for every case: its figures where both agree, both figures where not."""
    sums = [run[tool]["peak_bytes"] for tool in ("memray", "prof")]
    yield ["all, bytes at the peak", "%d / %d" % tuple(sums)] + [""] * (1 + len(THRESHOLDS))
    for case in run["cases"]:
        cells = [*(cell(run, case, view) for view in ("peak", "leaks")), *temporaries(run, case)]
        if any(cells):
            yield ["`%s`" % case, *cells]


def cell(run, case, view):
    memray, prof = (run[tool][view].get(case) for tool in ("memray", "prof"))
    return shown(held(memray), held(prof), memray == prof)


def held(sums):
    return "%d in %d" % tuple(sums) if sums else ""


def temporaries(run, case):
    for threshold in THRESHOLDS:
        found = [run[tool]["temporary"][threshold].get(case) for tool in ("memray", "prof")]
        memray, prof = (sums[0] if sums else 0 for sums in found)
        yield shown(str(memray or ""), str(prof or ""), memray == prof)


def shown(memray, prof, agrees):
    return prof if agrees else "**%s / %s**" % (memray or "none", prof or "none")
