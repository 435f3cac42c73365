"""Runs one workload in the target: `runner.py FILE AMOUNT`.

Says `ready`, and `listening PORT` first if the workload is a service. Then each line
on stdin is answered by one of JSON:

    work     does the work, says what it took
    begin    from here on what is done counts (services)
    end      says what has been used since
"""

import importlib.util
import json
import resource
import select
import socket
import sys
import threading
import time

WARM_UP = 20


class Meter:
    """What this process uses between `start` and `read`."""

    def start(self):
        self.usage = resource.getrusage(resource.RUSAGE_SELF)
        self.began = time.perf_counter()

    def read(self):
        wall = time.perf_counter() - self.began
        usage = resource.getrusage(resource.RUSAGE_SELF)
        user = usage.ru_utime - self.usage.ru_utime
        system = usage.ru_stime - self.usage.ru_stime
        return {"wall_s": wall, "user_s": user, "system_s": system}


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def load(path):
    """The workload's module, under a name that hides no other."""
    spec = importlib.util.spec_from_file_location("workload", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["workload"] = module
    spec.loader.exec_module(module)
    return module


def commands():
    """Lines from stdin. Between two it looks every 5 ms: Memray's way in needs a
    target that goes on allocating."""
    while True:
        while not select.select([sys.stdin], [], [], 0.005)[0]:
            pass
        line = sys.stdin.readline()
        if not line:
            return
        yield line.strip()


def run(workload, amount):
    meter = Meter()
    workload.work(max(amount // WARM_UP, 1))
    say("ready")
    for command in commands():
        assert command == "work", command
        meter.start()
        workload.work(amount)
        say(json.dumps(meter.read()))


def answer(meter):
    for line in sys.stdin:
        if line.strip() == "begin":
            meter.start()
            say("{}")
        else:
            say(json.dumps(meter.read()))


def serve(workload):
    # asyncio switches Nagle's algorithm off only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    say("listening %d" % listener.getsockname()[1])
    say("ready")
    threading.Thread(target=answer, args=(Meter(),), daemon=True).start()
    workload.serve(listener)


def main():
    workload = load(sys.argv[1])
    if hasattr(workload, "serve"):
        serve(workload)
    else:
        run(workload, int(sys.argv[2]))


if __name__ == "__main__":
    main()
