#!/usr/bin/env python3
"""Uses pages of `prof flamegraph` in a real browser, and checks what they show.

Usage: check.py [--shots DIRECTORY] [--stats JSON] FILE…

Opens each file in headless Chromium, then searches, zooms, drags a window, switches
views, sorts, goes back, follows a link to what was shown, all with real input events.
Fails on a wrong number, an error on the console or a request to a network; with `--timed`
on a page that is too slow, too. `--stats` compares with the output of `prof stats --json` of the capture.
`--shots` keeps pictures of each page in light, in dark and on a phone.
"""

import argparse
import csv
import io
import json
import pathlib
import re
import sys

from chromium import Browser, find
from expected import Expected, total

#: Milliseconds of processor time to open a page, and for each movement of a drag.
SLOWEST_MS = {"open": 5000, "drag": 100}


class Checks:
    """What one page is asked. Each `check_…` begins with the page as it was opened."""

    def __init__(self, page, path, stats=None):
        self.page, self.url, self.stats = page, pathlib.Path(path).resolve().as_uri(), stats
        self.expected = Expected(path)
        self.is_comparison = len(self.expected.data["recordings"]) > 1
        self.wrong, self.timings = [], {}

    def expect(self, holds, what):
        if not holds:
            self.wrong.append(what)

    def same(self, got, wanted, what):
        self.expect(got == wanted, f"{what}: {got!r} instead of {wanted!r}")

    def reopen(self, url=None):
        # Otherwise another fragment of the same page would not load it again.
        self.page.call("Page.navigate", {"url": "about:blank"})
        return self.page.open(url or self.url)

    def run(self):
        self.timings["loaded"] = 1000 * self.reopen()
        self.timings["open"] = self.page.busy_ms()
        self.sum()
        if self.page.state()["totals"]["bytes"] > 0:
            for name in sorted(name for name in dir(self) if name.startswith("check_")):
                self.reopen()
                try:
                    getattr(self, name)()
                except Exception as error:  # noqa: BLE001 - the other checks are worth running
                    self.wrong.append(f"{name}: {error!r}")
        self.wrong += self.page.complaints()

    def sum(self):
        """What is drawn adds up."""
        state = self.page.state()
        frames = state["frames"]
        self.expect(not state["table"] or state["rows"], "the table is empty") if state["totals"]["bytes"] else None
        rows = {}
        for frame in frames:
            rows.setdefault(frame["depth"], []).append(frame)
        for depth, row in rows.items():
            ends = [frame["x"] + frame["width"] for frame in row]
            self.expect(all(end <= frame["x"] + 0.01 for end, frame in zip(ends, row[1:])), f"frames overlap in row {depth}")
            for frame, end in zip(row, ends) if depth else ():
                above = (other for other in rows[depth - 1] if other["x"] <= frame["x"] + 0.01)
                parent = max(above, key=lambda other: other["x"], default=None)
                fits = parent and end <= parent["x"] + parent["width"] + 0.01
                self.expect(fits, f"{frame['function']} in row {depth} does not stand below one frame")

    def view(self, name):
        self.page.click(f"[data-view={name}]")
        return self.page.state()

    def check_views(self):
        for name in ("leaks", "temporary", "allocations", "peak"):
            state = self.view(name)
            self.same(state["view"], name, "view")
            self.same(self.after(state), total(self.expected.view(name)), f"totals of {name}")
            self.sum()
        if self.stats:
            self.compare_with_stats()

    @staticmethod
    def after(state):
        return {name: state["totals"][name] for name in ("bytes", "blocks")}

    def choose(self, name, value):
        """Picks from a list, as a user does."""
        script = f"(() => {{ const list = document.getElementById('{name}'); list.value = '{value}'; list.dispatchEvent(new Event('change')); }})()"
        self.page.run(script)
        self.page.rest()

    def compare_with_stats(self):
        stats = self.stats
        totals = self.view("leaks")["totals"]
        self.same(totals["bytes"], stats["live_bytes"], "leaked bytes")
        self.same(totals["blocks"], stats["live_blocks"], "leaked blocks")
        self.same(self.view("peak")["totals"]["bytes"], stats["metadata"]["peak_memory"], "bytes at the peak")
        totals = self.view("allocations")["totals"]
        self.same(totals["bytes"], stats["total_bytes_allocated"], "bytes ever allocated")
        self.same(totals["blocks"], stats["total_num_allocations"], "allocations")

    def plain_view(self):
        """A graph of the peak, callers first, whatever the page begins with."""
        page = self.page
        if page.state()["table"]:
            page.click("[data-set=table][data-to='0']")
        if page.state()["inverted"]:
            page.click("[data-set=inverted][data-to='0']")
        return self.view("peak")

    def widest(self, depth):
        frames = [frame for frame in self.page.state()["frames"] if frame["depth"] == depth]
        return max(frames, key=lambda frame: frame["width"], default=None)

    def frame_to_name(self):
        """The widest frame that calls others and whose name can be typed."""
        frames = self.page.state()["frames"]
        named = [frame for frame in frames if frame["depth"] and frame["function"].isidentifier()]
        return max(named, key=lambda frame: (frame["bytes"] - frame["own"]["bytes"], frame["bytes"]), default=None)

    def click_frame(self, frame):
        box = self.page.box("#graph")
        self.page.click_at(box["x"] + frame["x"] + min(frame["width"] / 2, 40), box["y"] + frame["y"] + 8)

    def check_zoom(self):
        self.plain_view()
        frame = self.widest(2) or self.widest(1)
        whole = self.page.state()["totals"]
        self.click_frame(frame)
        state = self.page.state()
        self.same(state["zoom"][-1]["function"] if state["zoom"] else None, frame["function"], "zoomed frame")
        self.same(state["totals"], whole, "totals when zoomed")
        zoomed = next(shown for shown in state["frames"] if shown["depth"] == frame["depth"])
        self.expect(zoomed["width"] >= state["frames"][0]["width"] - 1, "a zoomed frame is not as wide as the root")
        link = self.page.run("location.href")
        self.page.press("Escape")
        self.same(self.page.state()["zoom"], [], "zoom after Escape")
        self.page.run("history.back()")
        self.page.until("window.prof.state().zoom.length > 0")
        self.reopen(link)
        self.same(self.page.state()["frames"], state["frames"], "what a link shows")

    def check_search(self):
        state = self.plain_view()
        frame = self.frame_to_name()
        if not frame:
            return
        self.page.press("/")
        self.page.type(f"/^{frame['function']}$/m")
        self.page.until("window.prof.state().search.text !== ''")
        self.page.rest()
        found = self.page.state()["search"]
        self.expect(found["matches"] > 0 and frame["bytes"] <= found["bytes"] <= state["totals"]["bytes"], f"search: {found}")
        self.expect(abs(found["share"] - found["bytes"] / state["totals"]["bytes"]) < 1e-9, f"share: {found}")
        self.expect("frame" in self.page.run("document.getElementById('search-result').textContent"), "no words for what was found")
        self.page.press("Escape")
        self.page.until("window.prof.state().search.text === ''")

    def check_keyboard(self):
        self.plain_view()
        self.page.run("document.getElementById('graph').focus()")
        self.page.press("ArrowDown")
        self.page.press("ArrowDown")
        state = self.page.state()
        self.expect(state["selected"], "nothing is selected by the keyboard")
        self.expect(self.page.run("document.getElementById('live').textContent"), "nothing is announced")
        self.page.press("Enter")
        self.same(len(self.page.state()["zoom"]), 1, "zoom by Enter")
        self.page.press("?")
        self.expect(self.page.run("document.getElementById('help').open"), "no help")
        self.page.press("Escape")
        self.expect(not self.page.run("document.getElementById('help').open"), "help stays")

    def check_inverted(self):
        """Turning stacks around and hiding frames loses no byte."""
        whole = self.plain_view()["totals"]
        self.page.click("[data-set=inverted][data-to='1']")
        state = self.page.state()
        self.same(state["totals"], whole, "totals, inverted")
        first = sum(frame["bytes"] for frame in state["frames"] if frame["depth"] == 1)
        self.expect(first <= whole["bytes"], "inverted frames are more than all")
        self.page.click("#open-filters")
        for name in ("imports", "irrelevant", "upright", "irrelevant", "split", "flame"):
            self.page.click("[data-set=inverted][data-to='0']" if name == "upright" else f"#{name}")
            state = self.page.state()
            self.same(state["totals"], whole, f"totals with {name} switched")
            files = {frame["file"] for frame in state["frames"]}
            hidden = [file for file in files if (state["imports"] and "<frozen importlib" in file) or (state["irrelevant"] and "runpy" in file)]
            self.same(hidden, [], f"hidden frames with {name} switched")
            self.sum()

    def check_table(self):
        self.plain_view()
        self.page.click("[data-set=table][data-to='1']")
        state = self.page.state()
        own = [row["own"][0] for row in state["rows"]]
        difference = [row["own"][0] - row["own"][2] for row in state["rows"] if len(row["own"]) > 2]
        self.same(difference or own, sorted(difference or own, reverse=True), "order of the table")
        if len(own) < 100:
            self.same(sum(own), state["totals"]["bytes"], "sum of the table's own bytes")
        self.page.click("#table th:first-child button")
        names = [row["name"].lower() for row in self.page.state()["rows"]]
        self.same(names, sorted(names, key=lambda name: name.encode("utf-16-be", "surrogatepass")), "order by name")
        for by in ("function", "file", "module", "thread", "kind"):
            self.choose("by", by)
            rows = self.page.state()["rows"]
            self.expect(rows, f"no rows by {by}")
            if len(rows) < 100:
                self.same(sum(row["own"][0] for row in rows), state["totals"]["bytes"], f"sum of the rows by {by}")

    def check_functions(self):
        """The table by function has the own bytes and totals of the data's stacks."""
        self.plain_view()
        self.page.click("#open-filters")
        self.page.click("#irrelevant")
        self.page.click("[data-set=table][data-to='1']")
        self.choose("by", "function")
        amounts = self.expected.view("peak")
        own, totals = self.expected.own_by_function(amounts), self.expected.totals_by_function(amounts)
        wanted = sorted((own.get(function, 0), bytes_) for function, bytes_ in totals.items() if bytes_)
        rows = self.page.state()["rows"]
        got = sorted((row["own"][0], row["total"][0]) for row in rows if row["total"][0])
        if len(rows) < 100:
            self.same(got, wanted, "own and total by function")
        elif not self.is_comparison:
            self.same([pair[0] for pair in got], [pair[0] for pair in wanted[-100:]], "the largest own bytes by function")

    def check_filters(self):
        """A thread and a kind leave exactly their own sites."""
        self.plain_view()
        self.page.click("#open-filters")
        amounts, sites = self.expected.view("peak"), self.expected.sites
        for name in ("thread", "kind"):
            for index in sorted(set(sites[name]))[:3]:
                self.choose(name, index)
                wanted = total([pair for site, pair in enumerate(amounts) if sites[name][site] == index])
                self.same(self.after(self.page.state()), wanted, f"totals of {name} {index}")
            self.choose(name, -1)
        frame = self.frame_to_name()
        if frame:
            self.page.click("#only")
            self.page.type(f"/^{frame['function']}$/m")
            self.page.until("window.prof.state().only !== ''")
            self.page.rest()
            state = self.page.state()
            wanted = total([pair for site, pair in enumerate(amounts) if frame["function"] in self.expected.functions(site)])
            self.same(self.after(state), wanted, f"totals of stacks through {frame['function']}")
            functions = {shown["depth"] for shown in state["frames"] if shown["function"] == frame["function"]}
            self.expect(functions, "the filter hides what it asks for")

    def check_late(self):
        """After a gap, leaks can be cut down to what came later."""
        late = self.expected.sites.get("late_bytes")
        self.view("leaks")
        self.same(bool(self.page.run("Boolean(document.getElementById('late'))")), bool(late), "switch for the last gap")
        if late:
            self.page.click("#late")
            self.same(self.page.state()["totals"]["bytes"], sum(late), "leaked after the last gap")

    def check_saving(self):
        """What is saved as CSV has all rows."""
        self.page.run("(() => { const make = URL.createObjectURL; URL.createObjectURL = (blob) => { window.saved = blob.text(); return make(blob); }; })()")
        self.plain_view()
        self.page.click("[data-set=table][data-to='1']")
        self.page.click("#table-csv")
        text = self.page.run("window.saved")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        self.same(sum(int(row[2]) for row in rows[1:]), self.page.state()["totals"]["bytes"], "sum of the saved own bytes")
        self.expect(not any(cell.startswith(("=", "@")) for row in rows for cell in row), "a saved cell is a formula")
        if self.expected.data["time"]:
            self.page.click("#plot-csv")
            rows = list(csv.reader(io.StringIO(self.page.run("window.saved"), newline="")))
            self.same([int(row[1]) for row in rows[1:]], self.expected.data["time"]["heap"], "saved heap")

    def check_theme(self):
        before = self.page.run("document.documentElement.dataset.theme")
        self.page.click("#theme")
        after = self.page.run("document.documentElement.dataset.theme")
        self.expect(before != after, "the theme does not change")
        self.reopen()
        self.same(self.page.run("document.documentElement.dataset.theme"), after, "remembered theme")
        self.page.click("#theme")

    def check_names(self):
        """Nothing of the data became markup, and nothing invisible is shown."""
        self.plain_view()
        for keys in ("t", ""):
            self.same(self.page.run("document.querySelectorAll('#page img, #page script, #page iframe').length"), 0, "elements made of names")
            shown = self.page.run("document.body.innerText")
            self.expect(not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", shown), "control characters are shown")
            for key in keys:
                self.page.press(key)

    def compare_window(self, shows):
        state = self.page.state()
        amounts = self.expected.window(shows, *state["window"])
        before = None
        if shows == "growth":
            amounts, before = amounts
            self.same({name: state["totals"][f"before_{name}"] for name in ("bytes", "blocks")}, total(before), "totals at the begin of the window")
        self.same(self.after(state), total(amounts), f"totals of {shows} in {state['window']}")

    def plot_x(self, box, part):
        plot = self.page.state()["plot"]
        return box["x"] + plot["left"] + plot["width"] * part

    def check_window(self):
        state = self.plain_view()
        bins = state["plot"]["bins"]
        if not bins:
            return
        whole, leaked = state["totals"], self.view("leaks")["totals"]
        box = self.page.box("#plot")
        y = box["y"] + 40
        costs, waits = [], []
        self.page.drag(self.plot_x(box, 0.3), y, self.plot_x(box, 0.6))
        state = self.page.state()
        self.same((state["view"], state["shows"]), ("time", "kept"), "view of a window of leaks")
        first, last = state["window"]
        self.expect(abs(first / bins - 0.3) < 0.02 and abs(last / bins - 0.6) < 0.02, f"window {first}-{last} of {bins}")
        for shows in ("held", "growth", "kept"):
            self.choose("shows", shows)
            self.compare_window(shows)
            self.sum()
            cost, wait = self.drag_time(box, y)
            costs.append(cost)
            waits.append(wait)
        self.timings["drag"], self.timings["wait"] = max(costs), max(waits)
        self.page.run("document.getElementById('plot').focus()")
        before = self.page.state()["window"]
        self.page.press("ArrowLeft")
        self.same(self.page.state()["window"], [before[0] - 1, before[1] - 1], "window after an arrow")
        self.page.press("ArrowRight", "shift")
        self.same(self.page.state()["window"], [before[0] - 1, before[1]], "window after Shift and an arrow")
        link = self.page.run("new Promise((done) => setTimeout(() => done(location.href), 400))")
        shown = self.page.state()
        self.reopen(link)
        self.same({**self.page.state(), "selected": 0}, {**shown, "selected": 0}, "what a link to a window shows")
        self.page.run("document.getElementById('plot').focus()")
        self.page.press("Escape")
        state = self.page.state()
        self.same(state["window"], None, "window after Escape")
        if "wide" not in self.url and "cells" not in self.url:
            self.same(state["totals"], leaked, "kept over the whole recording, against leaks")
            self.choose("shows", "held")
            self.same(self.page.state()["totals"], whole, "held at the peak of the whole recording, against the peak")

    def drag_time(self, box, y):
        """Moves the window by its middle. Milliseconds of processor time that a movement
        costs the page, and the median until the screen shows what it means, which has
        other programs in it."""
        page = self.page
        state = page.state()
        first, last = state["window"]
        x = self.plot_x(box, (first + last + 1) / 2 / state["plot"]["bins"])
        page.mouse("mouseMoved", x, y)
        page.mouse("mousePressed", x, y, button="left", clickCount=1)
        waits, before = [], page.busy_ms()
        for step in range(1, 16):
            page.mouse("mouseMoved", x + 6 * step * (1 if step < 12 else -1), y, button="left", buttons=1)
            waits.append(page.run("new Promise((done) => requestAnimationFrame(() => setTimeout(() => setTimeout(() => done(window.prof.timings().answer)))))"))
        cost = (page.busy_ms() - before) / len(waits)
        page.mouse("mouseReleased", x, y, button="left", clickCount=1)
        page.rest()
        return cost, sorted(waits)[len(waits) // 2]


def check_phone(browser, checks):
    """On a phone nothing sticks out, a finger drags a window, a tap zooms."""
    page = checks.page = browser.page(width=390, height=844, phone=True, scale=2)
    page.open(checks.url)
    checks.expect(page.run("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than a phone")
    state = page.state()
    if state["plot"]["bins"] and state["totals"]["bytes"]:
        box = page.box("#plot")
        page.touch_drag(checks.plot_x(box, 0.3), box["y"] + 40, checks.plot_x(box, 0.7))
        checks.expect(page.state()["window"], "a finger drags no window")
    checks.wrong += page.complaints()
    page.close()


def picture(browser, url, name, directory):
    """Pictures of a page: light, dark, on a phone, the table, a selected frame."""
    looks = {"light": {}, "dark": {"dark": True}, "phone": {"width": 390, "height": 844, "phone": True, "scale": 2}}
    for look, options in looks.items():
        page = browser.page(**options)
        page.open(url)
        # What an earlier check chose is remembered.
        page.run("localStorage.clear()")
        page.open(url)
        page.screenshot(directory / f"{name}-{look}.png")
        page.close()
    page = browser.page()
    page.open(url)
    for what, keys in (("table", "t"), ("inverted", "ti")):
        for key in keys:
            page.press(key)
        page.screenshot(directory / f"{name}-{what}.png")
    page.close()


def check(browser, path, options):
    url = pathlib.Path(path).resolve().as_uri()
    page = browser.page()
    stats = json.loads(pathlib.Path(options.stats).read_text()) if options.stats else None
    checks = Checks(page, path, stats)
    checks.run()
    page.close()
    check_phone(browser, checks)
    if options.timed:
        for name, slowest in SLOWEST_MS.items():
            checks.expect(checks.timings.get(name, 0) < slowest, f"{name} cost {checks.timings.get(name, 0):.0f} ms")
    timings = ", ".join(f"{name} {value:.0f} ms" for name, value in checks.timings.items())
    print(f"{pathlib.Path(path).name}: {'ok' if not checks.wrong else 'WRONG'} ({timings})")
    for wrong in checks.wrong:
        print(f"  {wrong}"[:2000])
    if options.shots:
        directory = pathlib.Path(options.shots)
        directory.mkdir(parents=True, exist_ok=True)
        picture(browser, url, pathlib.Path(path).stem, directory)
    return not checks.wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", metavar="DIRECTORY")
    parser.add_argument("--stats", metavar="JSON")
    parser.add_argument("--timed", action="store_true")
    parser.add_argument("files", nargs="+", metavar="FILE")
    options = parser.parse_args()
    if not find():
        sys.exit("check.py: Chromium is not installed (apt-get install chromium)")
    with Browser() as browser:
        good = [check(browser, path, options) for path in options.files]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
