"""Processes that start and end: by fork, by vfork and posix_spawn, by multiprocessing."""

import multiprocessing
import os
import subprocess

from .base import Checked, OneThread, Threads


class fork_storm(OneThread):
    """Children that allocate, and a parent that does so too."""

    def __init__(self):
        super().__init__()
        self.checked = Checked(3)

    def round(self, _):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if self.checked.load(200) == 0 else 1)
        return self.checked.load(200) + (os.waitpid(pid, 0)[1] != 0)


class spawn_storm(Threads):
    """What CPython starts by vfork (3.10 and later), fork and exec, and posix_spawn."""

    def __init__(self):
        super().__init__(2)
        self.checked = [Checked(5), Checked(6)]

    def round(self, at):
        wrong = subprocess.run(["/bin/true"], stdin=subprocess.DEVNULL).returncode != 0
        wrong += subprocess.run(["/bin/false"], close_fds=False).returncode != 1
        pid = os.posix_spawn("/bin/true", ["true"], os.environ)
        wrong += os.waitpid(pid, 0)[1] != 0
        return wrong + self.checked[at].load(200)


def square(number):
    """Runs in the children."""
    return Checked(number + 1).load(200) + number * number


class pools(OneThread):
    """multiprocessing's three ways to start a child."""

    def round(self, _):
        wrong = 0
        for method in ("fork", "forkserver", "spawn"):
            with multiprocessing.get_context(method).Pool(2) as pool:
                wrong += pool.map(square, range(8)) != [n * n for n in range(8)]
                pool.close()
                pool.join()
        return wrong
