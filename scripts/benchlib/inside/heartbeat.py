"""A target that notices when it is held up: `heartbeat.py HELPER MODE`.

    blocked    waits in read(2)
    polling    looks at its input every 5 ms
    busy       four threads of Python besides

`gap` on stdin is answered by the longest gap between two beats since the last `gap`.
"""

import ctypes
import select
import sys
import threading

helper = ctypes.CDLL(sys.argv[1])
helper.take_gap.restype = ctypes.c_int64


def work():
    while True:
        [bytes(size) for size in range(500, 1000)]


def main(mode):
    if mode == "busy":
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
    assert helper.start_heartbeat() == 0
    print("ready", flush=True)
    while True:
        while mode != "blocked" and not select.select([sys.stdin], [], [], 0.005)[0]:
            pass
        if not sys.stdin.readline():
            break
        print(helper.take_gap(), flush=True)


main(sys.argv[2])
