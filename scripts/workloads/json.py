"""Documents to text and back."""

import json

AMOUNT = 600
GOALS = {"prof": 1.05, "prof-objects": 2.0}
DOCUMENT = {
    "rows": [
        {"id": number, "name": "row %d" % number, "tags": ["a", "b", "c"], "ratio": number / 7}
        for number in range(500)
    ]
}


def work(amount):
    for _ in range(amount):
        assert len(json.loads(json.dumps(DOCUMENT))["rows"]) == 500
