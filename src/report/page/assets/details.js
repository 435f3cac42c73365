// The panel with everything that is known about the recordings, in words.

function microsText(micros) {
  return micros == null ? "not known" : durationText(micros * 1000);
}

function beganText(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : `${date.toLocaleString()} (${time})`;
}

function objectsText(recording) {
  return recording.domains ? "each object was recorded" : "recorded where they ask the C library or the system for memory";
}

/** Why a recording ended, in words. */
const ENDINGS = {
  duration: "its duration was over",
  interrupted: "it was interrupted (Ctrl-C)",
  terminated: "prof was asked to terminate",
  hangup: "the terminal was closed",
  target_exited: "the program ended",
  target_killed: "the program was killed",
  target_exec: "the program executed another one",
  max_size: "the capture had the size asked for",
  disk_full: "the disk was full",
  failed: "of an error",
  unfinished: "not known: the file has no ending",
};

const FACTS = [
  ["File", (r) => r.file],
  ["Command line", (r) => r.command_line],
  ["Process", (r) => `pid ${r.pid}${r.host ? ` on ${r.host}` : ""}`],
  ["Python", (r) => r.python_version],
  ["Python’s allocator", (r) => r.python_allocator],
  ["Python’s objects", objectsText],
  ["Allocator", (r) => r.allocator],
  ["C library", (r) => r.libc],
  ["Recorded by", (r) => `prof ${r.prof_version}`],
  ["Began", (r) => beganText(r.start_time)],
  ["Lasted", (r) => durationText(r.duration_ns)],
  ["Ended because", (r) => (Object.hasOwn(ENDINGS, r.end_reason) ? ENDINGS[r.end_reason] : r.end_reason)],
  ["Events", (r) => `${countText(r.events)}: ${pluralText(r.allocations, "allocation")}, ${pluralText(r.deallocations, "free")}`],
  ["Allocated in all", (r) => bytesText(r.allocated_bytes)],
  ["High-water mark", (r) => `${bytesText(r.peak_bytes)}, ${durationText(r.peak_time_ns)} after the start`],
  ["Held at the end", (r) => `${bytesText(r.live_bytes)} in ${pluralText(r.live_blocks, "block")}`],
  ["Frees of older blocks", (r) => `${countText(r.unmatched_frees)} (allocated before the recording began)`],
  ["Lost events", (r) => (r.lost_events ? countText(r.lost_events) : "none")],
  ["Damaged chunks", (r) => (r.damaged_chunks ? countText(r.damaged_chunks) : "none")],
  ["Longest pause caused", (r) => microsText(r.longest_pause_us)],
];

function factText(value) {
  return value == null || value === "" ? "not known" : plain(value);
}

function factList(recordings) {
  const list = el("dl", { class: recordings.length > 1 ? "facts two" : "facts" });
  if (recordings.length > 1) list.append(el("dt", {}), el("dd", {}, el("strong", {}, "Before")), el("dd", {}, el("strong", {}, "After")));
  for (const [name, text] of FACTS) {
    list.append(el("dt", {}, name), ...recordings.map((recording) => el("dd", {}, el("bdi", {}, factText(text(recording))))));
  }
  return list;
}

function gapTable(gaps) {
  const row = ([from, to, allocations, frees]) => el(
    "tr",
    {},
    ...[durationText(from), durationText(to), countText(allocations || 0), countText(frees || 0)].map((text) => el("td", {}, text)),
  );
  const head = el("tr", {}, ...["From", "To", "Allocations lost", "Frees lost"].map((text) => el("th", { scope: "col" }, text)));
  return el("table", { class: "simple" }, head, ...gaps.map(row));
}

function lossPart(recording, title) {
  const gaps = recording.gaps || [];
  const notes = recording.notes || [];
  return [
    gaps.length > 0 && el("h3", {}, `Gaps${title}`),
    gaps.length > 0 && gapTable(gaps),
    notes.length > 0 && el("h3", {}, `Notes${title}`),
    notes.length > 0 && el("ul", {}, ...notes.map((note) => el("li", {}, el("bdi", {}, plain(note.text))))),
  ];
}

function openDetails() {
  const { recordings } = app.model;
  const titles = recordings.length > 1 ? [" (before)", " (after)"] : [""];
  fill(byId("details-text"), factList(recordings), ...recordings.flatMap((recording, at) => lossPart(recording, titles[at])));
  byId("details").showModal();
}

/** Says on the button that something is missing. */
function syncLosses() {
  const lost = app.model.recordings.reduce((sum, r) => sum + (r.lost_events || 0) + (r.damaged_chunks || 0), 0);
  const badge = byId("losses");
  badge.hidden = lost === 0;
  badge.textContent = "incomplete";
}

function renderTitle() {
  const { recordings, recording } = app.model;
  const [before] = recordings;
  byId("title").textContent = shorten(plain(recording.command_line || recording.file || document.title), 240);
  const about = [`pid ${recording.pid}`, recording.python_version && `Python ${plain(recording.python_version).replace(/^(C?Python )/, "")}`, `recorded for ${durationText(recording.duration_ns)}`, pluralText(recording.events, "event")];
  if (recordings.length > 1) about.unshift(`${shorten(plain(baseName(before.file)), 60)} → ${shorten(plain(baseName(recording.file)), 60)}`);
  if (recordings.length > 1) byId("plot-title").textContent = "Memory over the later recording";
  byId("subtitle").textContent = about.filter(Boolean).join(" · ");
}
