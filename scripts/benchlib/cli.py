"""Arguments, and which parts run."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from . import aggregate, agreement, disturbance, document, instructions, interpreter, machine, reports, speed
from .process import Failure
from .tools import FLAG, Memray, Prof, Unprofiled

ROOT = Path(__file__).parent.parent.parent
SCRATCH = ROOT / "target/bench"
#: What is measured besides workloads.
EXTRA = ("disturbance", "instructions")
#: What is measured only where it is named.
NAMED = ("reports", "agreement", "aggregate")
#: What a line of progress says of a run: the first of these that it has.
SHOWN = {
    "failure": "failed: %s",
    "requests_per_s": "%.0f/s",
    "wall_s": "%.2f s",
    "attach_s": "attached in %.3f s",
    "added": "%d instructions",
    "processor_s": "%.2f s of processors",
}


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure what recording costs a target. Tables go to stdout as Markdown.",
        epilog="examples:\n  scripts/bench\n  scripts/bench reports --update\n  scripts/bench --only calls,deep --pairs 9 --no-memray\n"
        "  scripts/bench --only instructions",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [*speed.NAMES, *EXTRA]
    parser.add_argument("named", nargs="*", metavar="NAME", help="only these; also: " + ", ".join(NAMED))
    parser.add_argument("--only", metavar="NAME,…", help="only these: " + ", ".join(names))
    parser.add_argument("--python", action="append", metavar="PATH", help="an interpreter; may be repeated")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="rounds of each workload (5)")
    parser.add_argument("--no-memray", action="store_true", help="leave Memray out")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one round, one interpreter")
    parser.add_argument("--prof", metavar="PATH", help="measure this build instead of the one it makes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every measurement in this file")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing, show such a file")
    parser.add_argument("--update", action="store_true", help="put the tables into the documents")
    chosen = parser.parse_args()
    only = [*(chosen.only.split(",") if chosen.only else []), *chosen.named]
    chosen.only = only or names
    unknown = set(chosen.only) - {*names, *NAMED}
    if unknown:
        parser.error("unknown: " + ", ".join(sorted(unknown)))
    return chosen


def build():
    """Builds prof; the path of the binary."""
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.split()[1] for line in version.splitlines() if line.startswith("host:"))
    return str(ROOT / "target" / host / "release/prof")


def compile_helper():
    """Compiles what the targets need of C; the library."""
    source, library = Path(__file__).parent / "inside/helper.c", SCRATCH / "helper.so"
    flags = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-pthread", "-Wl,-z,now"]
    subprocess.run(["cc", *flags, "-o", str(library), str(source)], check=True)
    return library


def tools_for(interpreter, prof, with_memray):
    """The configurations, unprofiled first."""
    tools = {"unprofiled": Unprofiled()}
    if with_memray:
        tools["memray"] = Memray(interpreter.python)
        tools["memray-objects"] = Memray(interpreter.python, (FLAG,))
    tools["prof"] = Prof(prof)
    if tools["prof"].knows(FLAG):
        tools["prof-objects"] = Prof(prof, (FLAG,))
    return tools


def tell(run):
    """A line of progress."""
    key = ("workload", "mode", "kind", "scenario", "python", "configuration")
    words = [run[name] for name in key if name in run]
    words += [form % run[name] for name, form in SHOWN.items() if name in run][:1]
    print(" ".join(words), file=sys.stderr, flush=True)


class Bench:
    """One run of everything that was asked for."""

    def __init__(self, chosen):
        SCRATCH.mkdir(parents=True, exist_ok=True)
        self.only, self.with_memray, self.quick = chosen.only, not chosen.no_memray, chosen.quick
        self.pairs = 1 if chosen.quick else chosen.pairs
        self.is_given = chosen.prof is not None
        self.prof = chosen.prof or build()
        self.workloads = [speed.Workload(name, chosen.quick) for name in speed.NAMES if name in self.only]
        needed = {package for workload in self.workloads for package in workload.requires}
        packages = sorted(needed | {"memray"} if self.with_memray else needed)
        paths = chosen.python or interpreter.usual()[: 1 if chosen.quick else None]
        self.interpreters = [interpreter.prepare(path, packages, SCRATCH) for path in paths]

    def runs(self):
        """Yields every measurement."""
        with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
            for python in self.interpreters:
                yield from self.runs_of(python, Path(scratch))
            python, scratch = self.interpreters[0], Path(scratch)
            if "agreement" in self.only:
                yield from agreement.run(python, self.prof, scratch, tell)
            if "aggregate" in self.only:
                yield from aggregate.runs(python, self.prof, scratch, tell, self.quick)
            if "reports" in self.only:
                tools = tools_for(python, self.prof, self.with_memray)
                yield from reports.runs(python, tools, self.pairs, scratch, tell, self.quick)

    def runs_of(self, python, scratch):
        tools = tools_for(python, self.prof, self.with_memray)
        for workload in self.workloads:
            yield from speed.rounds(workload, python, tools, self.pairs, scratch, tell)
        plain = {name: tools[name] for name in ("memray", "prof") if name in tools}
        count = 2 if self.quick else disturbance.REPETITIONS
        if "disturbance" in self.only:
            helper = compile_helper()
            yield from disturbance.all_modes(python, plain, helper, count, scratch, tell)
        if "instructions" in self.only:
            helper = compile_helper()
            for kind, name in instructions.CONFIGURATIONS.items():
                if name in tools:
                    yield from instructions.runs(python, tools[name], kind, helper, scratch, tell)


def measure(chosen):
    """Measures, and keeps what there is also if it is interrupted."""
    bench = Bench(chosen)
    result = {"machine": machine.describe(bench), "runs": []}
    try:
        for run in bench.runs():
            result["runs"].append(run)
    finally:
        if chosen.json:
            chosen.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


def main():
    chosen = arguments()
    try:
        result = json.loads(chosen.read.read_text()) if chosen.read else measure(chosen)
    except (Failure, subprocess.CalledProcessError) as failure:
        print("scripts/bench: %s" % failure, file=sys.stderr)
        return 1
    texts = document.markdown(result)
    print("\n".join(texts.values()))
    if chosen.update:
        document.update(ROOT / "docs", texts)
    return 1 if any("failure" in run for run in result["runs"]) else 0
