"""What a page has to show, worked out anew from the data that it carries: slowly, simply,
and without the page's own program.
"""

import base64
import json
import re
import zlib

NAMES = {
    "peak": ("peak_bytes", "peak_blocks"),
    "leaks": ("leaked_bytes", "leaked_blocks"),
    "temporary": ("temporary_bytes", "temporary_blocks"),
    "allocations": ("bytes", "allocations"),
}


class Expected:
    """The data of one page."""

    def __init__(self, path):
        with open(path, encoding="utf-8", errors="surrogatepass") as file:
            packed = re.search(r'<script id="data" type="text/plain">([^<]*)<', file.read()).group(1)
        self.data = json.loads(zlib.decompress(base64.b64decode(packed)))
        self.sites = self.data["sites"]

    def stack(self, site):
        """The places of a site's stack, innermost first."""
        nodes, node = self.data["nodes"], self.sites["node"][site]
        places = []
        while node > 0:
            places.append(nodes["place"][node])
            node = nodes["parent"][node]
        return places

    def view(self, name, prefix=""):
        """(bytes, blocks) of each site in a view without a window."""
        return [list(pair) for pair in zip(*(self.sites[prefix + column] for column in NAMES[name]))]

    def window(self, shows, first, last):
        """The same for a window of bins; of growth a pair of such lists, after and before."""
        if shows == "held":
            return self.held(first, last)
        if shows == "kept":
            return self.kept(lambda born, freed: first <= born <= last < freed)
        return tuple(self.kept(lambda born, freed, bin_=bin_: born <= bin_ < freed) for bin_ in (last, first - 1))

    def held(self, first, last):
        time = self.data["time"]
        peak = max(range(first, last + 1), key=lambda bin_: (time["heap"][bin_], bin_))
        amounts = [[0, 0] for _ in self.sites["node"]]
        held = time["held"]
        for site, bin_, bytes_, blocks in zip(held["site"], held["bin"], held["bytes"], held["blocks"]):
            if bin_ <= peak:
                amounts[site] = [bytes_, blocks]
        return amounts

    def kept(self, counts):
        amounts = [[0, 0] for _ in self.sites["node"]]
        kept = self.data["time"]["kept"]
        for site, born, freed, bytes_, blocks in zip(kept["site"], kept["born"], kept["freed"], kept["bytes"], kept["blocks"]):
            if counts(born, freed):
                amounts[site][0] += bytes_
                amounts[site][1] += blocks
        return amounts

    def function(self, place):
        places = self.data["places"]
        return places["function"][place], places["file"][place]

    def functions(self, site):
        """The names of the functions of a site's stack."""
        names = self.data["places"]["function"]
        return {self.data["strings"][names[place]] for place in self.stack(site)}

    def totals_by_function(self, amounts):
        """Bytes that go through each function, by the ids of its name and file."""
        totals = {}
        for site, (bytes_, _) in enumerate(amounts):
            for function in {self.function(place) for place in self.stack(site)}:
                totals[function] = totals.get(function, 0) + bytes_
        return totals

    def own_by_function(self, amounts):
        """Bytes that each function allocates itself."""
        own = {}
        for site, (bytes_, _) in enumerate(amounts):
            stack = self.stack(site)
            function = self.function(stack[0]) if stack else None
            own[function] = own.get(function, 0) + bytes_
        return own


def total(amounts):
    """As `state().totals` has it."""
    return {"bytes": sum(pair[0] for pair in amounts), "blocks": sum(pair[1] for pair in amounts)}
