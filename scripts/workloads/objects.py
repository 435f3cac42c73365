"""Small objects that come and go: dicts, lists, strings out of pymalloc's pools."""

AMOUNT = 150
GOALS = {"prof": 1.0, "prof-objects": 1.5}


def work(amount):
    for _ in range(amount):
        rows = [{"key": str(number), "values": [number, number + 1]} for number in range(10_000)]
        index = {row["key"]: row for row in rows}
        assert index["9999"]["values"] == [9999, 10_000]
