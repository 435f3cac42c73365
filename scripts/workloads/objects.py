"""Small objects that come and go, and are used while they are there: dicts, lists and
strings out of pymalloc's pools, some five million a second unprofiled."""

from operator import itemgetter

AMOUNT = 60
GOALS = {"prof": 1.0, "prof-objects": 1.5}


def work(amount):
    for _ in range(amount):
        rows = [{"key": str(number), "values": [number, number + 1]} for number in range(10_000)]
        index = {row["key"]: row for row in rows}
        rows.sort(key=itemgetter("key"))
        assert all(index[row["key"]] is row for row in rows)
        named = [row for row in rows if row["key"].endswith("9") and "99" in row["key"]]
        assert named[-1]["values"] == [9999, 10_000]
        rows.sort(key=itemgetter("values"))
        assert [row["key"] for row in rows[:3]] == ["0", "1", "2"]
