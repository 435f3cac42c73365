// What is shown, and how the address of the page says so. Only what differs from the
// first view is written, so that links stay short.

const oneOf = (...names) => ({
  write: (value) => value,
  read: (text) => (names.includes(text) ? text : undefined),
});
const flag = { write: (value) => (value ? "1" : "0"), read: (text) => text === "1" };
const words = { write: (value) => value, read: (text) => text };
const index = { write: String, read: (text) => (/^-?\d{1,9}$/.test(text) ? Number(text) : undefined) };

/** A window of bins, as `12-40`. */
const windowField = {
  write: (value) => (value ? value.join("-") : ""),
  read: (text) => {
    const parts = /^(\d{1,9})-(\d{1,9})$/.exec(text);
    return parts ? [Number(parts[1]), Number(parts[2])] : null;
  },
};

/** A path of labels, as `3.a.1f`. */
const pathField = {
  write: (value) => value.map((label) => label.toString(36)).join("."),
  read: (text) => (/^[0-9a-z]{1,6}(\.[0-9a-z]{1,6})*$/.test(text) ? text.split(".").map((label) => parseInt(label, 36)) : []),
};

const FIELDS = {
  view: oneOf("peak", "leaks", "temporary", "allocations", "time"),
  shows: oneOf("held", "kept", "growth"),
  window: windowField,
  late: flag,
  measure: oneOf("bytes", "blocks"),
  widths: oneOf("after", "before", "change"),
  table: flag,
  by: oneOf("place", "function", "file", "module", "thread", "kind"),
  sort: words,
  page: index,
  flame: flag,
  inverted: flag,
  split: flag,
  imports: flag,
  irrelevant: flag,
  thread: index,
  kind: index,
  only: words,
  search: words,
  zoom: pathField,
};

/** The state a page begins with. */
function firstState(start) {
  const isTime = start.view === "time" || start.view === "growth";
  return {
    view: isTime ? "time" : start.view,
    shows: start.view === "growth" ? "growth" : "held",
    window: null,
    late: false,
    measure: "bytes",
    widths: "after",
    table: Boolean(start.table),
    by: "place",
    sort: "",
    page: 0,
    flame: false,
    inverted: Boolean(start.inverted),
    split: Boolean(start.split_threads),
    imports: false,
    irrelevant: true,
    thread: -1,
    kind: -1,
    only: "",
    search: "",
    zoom: [],
  };
}

/** Puts right what the data does not have. */
function allowed(state, model) {
  const bins = model.time ? model.time.bins : 0;
  if (state.view === "time" && !bins) state.view = "peak";
  if (!(state.thread < model.threads.length)) state.thread = -1;
  if (!(state.kind < model.kinds.length)) state.kind = -1;
  if (!model.sites.late_bytes) state.late = false;
  if (state.window) {
    const last = Math.min(state.window[1], bins - 1);
    state.window = last >= state.window[0] ? [state.window[0], last] : null;
  }
  return state;
}

/** The address of a state. */
function writeHash(state, first) {
  const parts = new URLSearchParams();
  for (const [name, field] of Object.entries(FIELDS)) {
    const text = field.write(state[name]);
    if (text !== field.write(first[name])) parts.set(name, text);
  }
  return `#${parts}`;
}

/** The state of an address. */
function readHash(hash, first) {
  const state = { ...first };
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const value = Object.hasOwn(FIELDS, name) ? FIELDS[name].read(text) : undefined;
    if (value !== undefined) state[name] = value;
  }
  return state;
}
