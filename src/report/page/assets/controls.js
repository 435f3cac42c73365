// Buttons, fields and lists: they show the state and change it.

const CHECKS = ["split", "irrelevant", "imports", "flame"];

/** How many filters leave something out. */
function filterCount() {
  const { thread, kind, only } = app.state;
  return (thread >= 0) + (kind >= 0) + (only.trim() !== "");
}

function debounced(act, milliseconds) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), milliseconds);
  };
}

/** The value of a switch's button, in the type of the state. */
function switchValue(button) {
  const { set, to } = button.dataset;
  return typeof app.state[set] === "boolean" ? to === "1" : to;
}

function startSwitches() {
  for (const button of document.querySelectorAll("[data-set]")) {
    button.addEventListener("click", () => {
      const { set } = button.dataset;
      const value = switchValue(button);
      if (app.state[set] !== value) change({ [set]: value, ...(set === "inverted" ? { zoom: [] } : {}) });
    });
  }
}

function fillChoices(id, none, names) {
  const options = names.map((name, at) => el("option", { value: at }, shorten(name, 70)));
  fill(byId(id), el("option", { value: -1 }, none), ...options);
  byId(id).addEventListener("change", (event) => change({ [id]: Number(event.target.value) }));
}

function startFilters() {
  const { model, places } = app;
  fillChoices("thread", "all threads", model.threads.map((_, at) => places.threadName(at)));
  fillChoices("kind", "all", model.kinds);
  for (const name of CHECKS) {
    byId(name).addEventListener("change", (event) => change({ [name]: event.target.checked, ...(name === "split" ? { zoom: [] } : {}) }));
  }
  for (const name of ["only", "search"]) {
    byId(name).addEventListener("input", debounced(() => change({ [name]: byId(name).value }, { replace: true }), 150));
  }
  byId("search").addEventListener("keydown", (event) => { if (event.key === "Enter") selectNextFound(event.shiftKey ? -1 : 1); });
  byId("no-filters").addEventListener("click", () => change({ thread: -1, kind: -1, only: "", split: app.first.split, irrelevant: true, imports: false }));
  byId("open-filters").addEventListener("click", () => showFilters(byId("filters").hidden));
}

function showFilters(shows) {
  byId("filters").hidden = !shows;
  byId("open-filters").setAttribute("aria-expanded", String(shows));
}

function startControls() {
  startSwitches();
  startFilters();
  byId("open-details").addEventListener("click", openDetails);
  byId("open-help").addEventListener("click", () => byId("help").showModal());
  byId("zoom-out").addEventListener("click", () => change({ zoom: [] }));
  byId("plot-csv").addEventListener("click", () => download(csvName("memory"), "text/csv", plotCsv()));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("graph").focus();
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }
  document.addEventListener("keydown", pageKey);
}

function syncField(id, text) {
  const field = byId(id);
  if (document.activeElement !== field || field.value.trim() !== text.trim()) field.value = text;
  const { error } = matcherOf(text);
  field.classList.toggle("wrong", Boolean(error));
  field.setAttribute("aria-invalid", String(Boolean(error)));
  field.title = error || "";
}

/** Shows the state in every control. */
function syncControls() {
  const { state, model } = app;
  for (const button of document.querySelectorAll("[data-set]")) {
    button.setAttribute("aria-pressed", String(state[button.dataset.set] === switchValue(button)));
  }
  for (const name of CHECKS) byId(name).checked = state[name];
  for (const name of ["thread", "kind", "by"]) byId(name).value = state[name];
  syncField("search", state.search);
  syncField("only", state.only);
  const count = filterCount();
  byId("filter-count").hidden = count === 0;
  byId("filter-count").textContent = count;
  byId("graph-part").hidden = state.table;
  byId("table-part").hidden = !state.table;
  for (const part of document.querySelectorAll(".for-graph")) part.hidden = state.table;
  for (const part of document.querySelectorAll(".for-comparison")) part.hidden = !model.isComparison || state.table;
  syncCards();
  syncWindow();
}

/** Goes from one of the found frames that are drawn to the next. */
function selectNextFound(by) {
  if (!app.found || app.state.table) return;
  const found = app.layout.rows.flatMap((row) => row.nodes.filter((node) => isFound(app.tree.label[node])));
  if (!found.length) return;
  const at = found.indexOf(app.selected);
  selectNode(found[at < 0 ? 0 : (at + by + found.length) % found.length], true);
}

/** What the search found, in words. */
function syncSearch() {
  const { found, state } = app;
  const { error } = matcherOf(state.search);
  let text = "";
  if (error) text = "not a regular expression";
  else if (found) text = `${pluralText(found.matches, "frame")} · ${amountText(state.measure)(found.amount)} · ${shareText(found.width, found.whole)}`;
  byId("search-result").textContent = text;
}

/** The meaning of the colours. */
function renderLegend() {
  const entry = (colour, text) => {
    const mark = el("i");
    mark.style.background = colour;
    return el("span", {}, mark, text);
  };
  const { tones } = theme;
  const entries = app.values.before
    ? [entry(hsl(tones.grew), "▲ grew"), entry(hsl(tones.shrank), "▼ shrank"), entry(hsl(tones.same), "unchanged")]
    : ["own", "package", "stdlib", "frozen", "none"].map((kind) => entry(kindColour(kind), KIND_NAMES[kind]));
  if (app.found) entries.push(entry(hsl(tones.found), "found (underlined)"));
  fill(byId("legend"), ...entries);
}
