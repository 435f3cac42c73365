"""A program under measurement, from outside."""

import json
import subprocess
import tempfile
from pathlib import Path

from .process import Failure, Lines

INSIDE = Path(__file__).parent / "inside"
START_SECONDS = 60


class Target:
    """A fresh process that runs a program of `inside/` and has said `ready`. What it
    says before is in `greeting`."""

    def __init__(self, python, program, *arguments):
        self.errors = tempfile.TemporaryFile()
        command = [python, "-B", str(INSIDE / program), *map(str, arguments)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.errors)
        self.lines = Lines(self.process.stdout)
        self.greeting = []
        while (line := self._next(START_SECONDS)) != "ready":
            self.greeting.append(line)

    @property
    def pid(self):
        return self.process.pid

    def say(self, command):
        """Sends a command."""
        try:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failure("the target is gone: %s" % self._complaint()) from None

    def answer(self, seconds):
        """The answer to the command sent last."""
        return json.loads(self._next(seconds))

    def ask(self, command, seconds=10):
        """Sends a command; the answer."""
        self.say(command)
        return self.answer(seconds)

    def _next(self, seconds):
        try:
            return self.lines.next(seconds)
        except Failure as failure:
            raise Failure("the target: %s; %s" % (failure, self._complaint())) from None

    def _complaint(self):
        self.errors.seek(0)
        last = self.errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return "".join(last) or "it says nothing"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            try:
                file.close()
            except BrokenPipeError:
                pass
