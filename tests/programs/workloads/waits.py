"""A thread in each blocking system call; and an event loop beside C that does not retry."""

import asyncio
import ctypes
import sys

from harness import say

from .base import HOSTILE, Checked, Threads, Workload

HOSTILE.interrupted.restype = ctypes.c_char_p


class blocked(Threads):
    """One thread a call (waits.c), none of which returns before the end."""

    def __init__(self):
        super().__init__(1)
        self.checked = Checked(13)
        assert HOSTILE.start_waits() == 0
        self.commands["interrupted"] = lambda: HOSTILE.interrupted().decode()

    def round(self, _):
        return self.checked.load(500)

    def check(self):
        return super().check() and HOSTILE.stop_waits() == 0


class event_loop(Workload):
    """asyncio in the main thread; a C thread in `epoll_wait`, which takes EINTR for the end."""

    def __init__(self):
        super().__init__()
        self.checked = Checked(17)
        assert HOSTILE.start_poller() == 0

    async def work(self):
        while True:
            self.wrong += self.checked.load(100)
            self.rounds += 1
            await asyncio.sleep(0.001)

    async def obey(self):
        reader = asyncio.StreamReader()
        await asyncio.get_event_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        worker = asyncio.ensure_future(self.work())
        say("ready")
        while True:
            word = (await reader.readline()).decode().strip()
            if word in ("stop", ""):
                break
            say("did %s %s" % (word, self.commands[word]()))
        worker.cancel()

    def serve(self):
        asyncio.run(self.obey())
        is_well = self.check() and HOSTILE.stop_poller() == 0
        say("self-check ok" if is_well else "self-check failed")
