"""Requests for a web service: by `wrk` where it is installed, else from here.

Both keep sixteen connections busy. Figures of the two are not comparable.
"""

import asyncio
import re
import shutil
import statistics
import time

from .process import Failure
from .tools import complete

CONNECTIONS = 16
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def generator():
    """The name of what sends the requests."""
    return "wrk" if shutil.which("wrk") else "own"


def run(port, path, seconds):
    """Requests a second and their 99th percentile in ms."""
    return (by_wrk if generator() == "wrk" else by_own)(port, path, seconds)


def by_wrk(port, path, seconds):
    options = ["--latency", "-t1", "-c%d" % CONNECTIONS, "-d%ds" % seconds]
    out = complete(["wrk", *options, "http://127.0.0.1:%d%s" % (port, path)], seconds + 30)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", out)
    if not rate or not slow or "Non-2xx" in out or "Socket errors" in out:
        raise Failure("wrk: " + " ".join(out.split()))
    return {"requests_per_s": float(rate[1]), "p99_ms": float(slow[1]) * UNITS[slow[2]]}


def by_own(port, path, seconds):
    times = asyncio.run(keep_busy(port, path, time.perf_counter() + seconds))
    if len(times) < 100:
        raise Failure("only %d answers" % len(times))
    slow = statistics.quantiles(times, n=100)[98]
    return {"requests_per_s": len(times) / seconds, "p99_ms": slow * 1e3}


async def keep_busy(port, path, end):
    times = []
    await asyncio.gather(*(connection(port, path, end, times) for _ in range(CONNECTIONS)))
    return times


async def connection(port, path, end, times):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = ("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path).encode()
    while (began := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", head.lower())[1]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise Failure(head.decode(errors="replace").splitlines()[0])
        times.append(time.perf_counter() - began)
    writer.close()
