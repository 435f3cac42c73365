// What the page was made from: columns of numbers as typed arrays, names once.

const SITE_COLUMNS = [
  "allocations", "bytes", "peak_blocks", "peak_bytes", "leaked_blocks", "leaked_bytes",
  "late_blocks", "late_bytes", "temporary_blocks", "temporary_bytes",
];

/** Unpacks what the page carries: base64 of zlib of JSON. */
async function unpack(base64) {
  const text = atob(base64.trim());
  const packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) packed[at] = text.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

function numbers(values) {
  return values ? new Float64Array(values) : null;
}

function indices(values) {
  return new Int32Array(values || []);
}

function sitesOf(raw) {
  const sites = { count: raw.node.length, node: indices(raw.node), thread: indices(raw.thread), kind: indices(raw.kind) };
  for (const name of SITE_COLUMNS) {
    sites[name] = numbers(raw[name]);
    sites[`before_${name}`] = numbers(raw[`before_${name}`]);
  }
  return sites;
}

/** Where each site's entries begin in a list that is sorted by site. */
function startsOf(sites, count) {
  const starts = new Int32Array(count + 1);
  for (const site of sites) starts[site + 1] += 1;
  for (let at = 0; at < count; at += 1) starts[at + 1] += starts[at];
  return starts;
}

function timeOf(raw, count) {
  if (!raw || !raw.bins) return null;
  const { held, kept } = raw;
  const columns = (part, names) => Object.fromEntries(names.map((name) => [name, indices(part[name])]));
  const amounts = (part) => ({ bytes: numbers(part.bytes), blocks: numbers(part.blocks) });
  const heldColumns = { ...columns(held, ["site", "bin"]), ...amounts(held) };
  return {
    bins: raw.bins,
    binNs: raw.bin_ns,
    heap: numbers(raw.heap),
    held: { ...heldColumns, starts: startsOf(heldColumns.site, count) },
    kept: { ...columns(kept, ["site", "born", "freed"]), ...amounts(kept) },
  };
}

/** The model that everything else works on. */
function modelOf(raw) {
  const sites = sitesOf(raw.sites);
  const recordings = raw.recordings;
  return {
    start: raw.start,
    recordings,
    recording: recordings[recordings.length - 1],
    isComparison: recordings.length > 1,
    strings: raw.strings.map(plain),
    places: { function: indices(raw.places.function), file: indices(raw.places.file), line: indices(raw.places.line) },
    nodes: { parent: indices(raw.nodes.parent), place: indices(raw.nodes.place) },
    threads: raw.threads.map((thread) => ({ tid: thread.tid, name: plain(thread.name || "") })),
    kinds: raw.kinds.map(plain),
    sites,
    temporaryWithin: raw.temporary_within,
    resident: { ns: numbers(raw.resident.t_ns), bytes: numbers(raw.resident.bytes) },
    time: timeOf(raw.time, sites.count),
    source: raw.source || {},
  };
}
