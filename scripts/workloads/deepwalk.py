"""A block in each of 200 frames, on the way down and on the way up: the stack
differs from event to event."""

AMOUNT = 10_000
GOALS = {"prof": 1.8, "prof-objects": 2.5}
DEPTH = 200


def walk(depth):
    bytes(700)
    if depth:
        walk(depth - 1)
    bytes(700)


def work(amount):
    for _ in range(amount):
        walk(DEPTH)
