"""Calls, returns, raises and compiles in several threads, for ever."""
import threading


def down(depth):
    return down(depth - 1) + 1 if depth else 0


def generate(count):
    for index in range(count):
        yield index


def spin(depth):
    while True:
        down(depth)
        sum(generate(20))
        scope = {}
        exec("def made(x): return [y for y in x]", scope)
        scope["made"](range(3))
        try:
            raise ValueError
        except ValueError:
            pass


for depth in (1, 10, 100):
    threading.Thread(target=spin, args=(depth,), daemon=True).start()
print("ready", flush=True)
spin(3)
