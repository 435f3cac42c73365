"""A small FastAPI service under uvicorn. `AMOUNT` is seconds under load; the goals
are the share of requests a second that is kept."""

import fastapi
import uvicorn

AMOUNT = 5
GOALS = {"prof": 0.9, "prof-objects": 0.7}
REQUIRES = ["fastapi", "uvicorn"]
PATH = "/items?page=3"

app = fastapi.FastAPI()


@app.get("/items")
async def items(page: int = 0):
    rows = [{"id": number, "name": "item %d" % number, "price": number * 1.5} for number in range(50)]
    return {"page": page, "items": rows}


def serve(listener):
    """Answers requests on a listening socket until the process ends."""
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
