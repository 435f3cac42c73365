"""One of the workloads that `prof` must not hurt.

usage: workload.py NAME [ARGUMENTS]

It works until it is told to stop, and then says whether all went right. `rounds`
is how far it has come, `rate` the price of an allocation at its best.
"""

import importlib
import sys

#: Where each workload is.
PLACES = {
    "malloc_loop": "heap",
    "eight_threads": "heap",
    "dlopen_loop": "heap",
    "fork_storm": "processes",
    "spawn_storm": "processes",
    "pools": "processes",
    "thread_storm": "threads",
    "small_stacks": "threads",
    "idle_threads": "threads",
    "signal_storm": "signals",
    "signal_jumps": "signals",
    "alternate_stack": "signals",
    "contexts": "stacks",
    "greenlets": "stacks",
    "registers": "machine",
    "blocked": "waits",
    "event_loop": "waits",
    "no_files": "limits",
    "little_space": "limits",
    "locked": "limits",
    "little_locked": "limits",
    "little_memory": "limits",
}


def main():
    name = sys.argv[1]
    module = importlib.import_module("workloads." + PLACES[name])
    getattr(module, name)(*sys.argv[2:]).serve()


# Children of multiprocessing import this file too.
if __name__ == "__main__":
    main()
