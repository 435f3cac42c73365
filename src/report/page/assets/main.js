// Brings it together: every change of the state is rendered once, in the next frame of
// the screen. Trees are made anew only when filters change, values when the view does.

const app = { model: null, places: null, first: null, state: null, tree: null, values: null, upright: null, layout: null, found: null, selected: -1, dragging: false, shownRows: [], timings: { open: 0, render: 0, answer: 0, settle: 0 }, askedAt: 0 };
const REMEMBERED = 6;

/** Remembers the last few results of `make` by key; keys may hold objects. */
function remembering(make) {
  const kept = [];
  return (...key) => {
    const at = kept.findIndex((entry) => entry.key.every((part, index) => part === key[index]));
    if (at >= 0) kept.unshift(...kept.splice(at, 1));
    else kept.unshift({ key, result: make(...key) });
    kept.length = Math.min(kept.length, REMEMBERED);
    return kept[0].result;
  };
}

const hiddenPlaces = remembering((imports, irrelevant) => app.places.hidden(imports, irrelevant));
const matchingPlaces = remembering((typed) => app.places.matching(matcherOf(typed).matches));
const treeOf = remembering((inverted, split, hidden, thread, kind, matching) => buildTree(app.model, { inverted, split, hidden, thread, kind, matching }));
const columnsFor = remembering((view, shows, first, last, late) => siteColumns(app.model, { view, shows, late, window: first < 0 ? null : [first, last] }));
const valuesOf = remembering((tree, columns, measure, widths) => treeValues(tree, columns, measure, widths));
const tallied = remembering((tree, values, by, split) => tally(app.model, app.places, tree, values, by, split));

function treeFor(inverted) {
  const { split, imports, irrelevant, thread, kind, only } = app.state;
  return treeOf(inverted, split, hiddenPlaces(imports, irrelevant), thread, kind, matchingPlaces(only));
}

function valuesFor(tree) {
  const { view, shows, window, late, measure } = app.state;
  const [first, last] = window || [-1, -1];
  const columns = view === "time" ? columnsFor(view, shows, first, last, false) : columnsFor(view, "", -1, -1, late);
  return valuesOf(tree, columns, measure, widthsOf(app.model, app.state));
}

/** The rows of the table by something; `split` by thread too. */
function rowsOf(by, split = false) {
  return [...tallied(app.uprightTree, app.upright, by, split)];
}

/** Works out what is drawn. */
function compute() {
  const { state } = app;
  const tree = app.tree;
  app.isInverted = state.inverted && !state.table;
  app.tree = treeFor(app.isInverted);
  app.values = valuesFor(app.tree);
  app.found = searchTree(app.tree, app.values, matchingPlaces(state.search));
  if (tree !== app.tree) {
    graph.hovered = -1;
    app.selected = tree && app.selected >= 0 ? sameNode(tree, app.selected) : -1;
  }
}

/** The selected node in a new tree, if it is there still. */
function sameNode(before, node) {
  const path = pathOf(before, node);
  const at = nodeAt(app.tree, path, hiddenPlaces(app.state.imports, app.state.irrelevant));
  return at > 0 && app.tree.label[at] === before.label[node] ? at : -1;
}

function renderGraph() {
  const { state } = app;
  const zoom = nodeAt(app.tree, state.zoom, hiddenPlaces(state.imports, state.irrelevant));
  const before = app.layout;
  app.layout = layOut(app.tree, app.values, zoom, graphSize().width);
  app.layout.flame = state.flame;
  const isLonger = state.flame && before?.rows.length !== app.layout.rows.length;
  sizeGraph(!before || before.zoom !== zoom || before.flame !== state.flame || isLonger);
  byId("zoom-out").hidden = zoom === 0;
  byId("zoom-path").textContent = zoom ? shorten(`${nameOf(zoom)} · ${frameAmount(zoom)}`, 90) : pluralText(app.layout.frames - 1, "frame");
  const isEmpty = !(app.values.width[0] > 0);
  byId("nothing").hidden = !isEmpty;
  byId("nothing").textContent = isEmpty ? nothingText() : "";
  paintGraph();
}

function nothingText() {
  if (filterCount()) return "No stack passes the filters.";
  if (app.values.before) return "Nothing changed.";
  return app.state.view === "temporary" ? "There were no temporary allocations." : "Nothing was recorded here.";
}

/** All that a drag shows at once. */
function render() {
  const begin = performance.now();
  app.isScheduled = false;
  tooltip.about = null;
  compute();
  if (!app.state.table) renderGraph();
  renderHeadline(true);
  if (!byId("timeline").hidden) paintPlot();
  syncSearch();
  app.timings.render = performance.now() - begin;
  const { askedAt } = app;
  // After this frame is on the screen.
  setTimeout(() => { app.timings.answer = performance.now() - askedAt; });
  settleSoon();
}

/** What needs a look at every row: as soon as a drag rests. */
function settle() {
  const begin = performance.now();
  app.uprightTree = treeFor(false);
  app.upright = valuesFor(app.uprightTree);
  renderHeadline(false);
  renderBanners();
  renderLegend();
  renderPanel();
  if (app.state.table) renderTable();
  app.timings.settle = performance.now() - begin;
}

// If the state has changed since, what was worked out is no longer about it; rendering it settles anew.
const settleLater = debounced(() => { if (!app.isScheduled) settle(); }, 120);

function settleSoon() {
  if (app.dragging) settleLater();
  else settle();
}

function schedule() {
  if (app.isScheduled) return;
  app.askedAt = performance.now();
  app.isScheduled = true;
  requestAnimationFrame(render);
}

function schedulePaint() {
  if (app.isPainting) return;
  app.isPainting = true;
  requestAnimationFrame(() => {
    app.isPainting = false;
    if (!app.state.table) paintGraph();
  });
}

function remember(replace) {
  const hash = writeHash(app.state, app.first);
  if (hash === (location.hash || "#")) return;
  try {
    history[replace ? "replaceState" : "pushState"](null, "", hash);
  } catch {
    // A page in a frame of its own origin has no history.
  }
}

// Browsers allow so many entries a second and no more.
const rememberLater = debounced(() => remember(true), 250);

/** Changes the state. `replace`: no new entry in the history; `quiet`: none at all yet. */
function change(patch, { replace = false, quiet = false } = {}) {
  Object.assign(app.state, "page" in patch ? {} : { page: 0 }, patch);
  allowed(app.state, app.model);
  if (!quiet && replace) rememberLater();
  else if (!quiet) remember(false);
  syncControls();
  schedule();
}

/** Takes the state from the address. */
function follow() {
  app.state = allowed(readHash(location.hash, app.first), app.model);
  syncControls();
  schedule();
}

function selectNode(node, isWalk) {
  app.selected = node;
  if (node >= 0 && !app.state.table) scrollToRow(app.tree.depth[node]);
  schedulePaint();
  renderPanel();
  if (isWalk) announce(`${nameOf(node)} ${app.places.at(app.tree.label[node])}, ${frameAmount(node)}, ${shareText(app.values.width[node], app.values.width[0])}`);
}

function zoomTo(node) {
  app.selected = node > 0 ? node : -1;
  hideTooltip();
  change({ zoom: pathOf(app.tree, node) });
}

function repaintAll() {
  plotLegend();
  graph.texts.clear();
  schedule();
}

function start(raw) {
  app.model = modelOf(raw);
  app.places = new Places(app.model);
  app.first = allowed(firstState(app.model.start), app.model);
  app.state = allowed(readHash(location.hash, app.first), app.model);
  byId("loading").hidden = true;
  byId("page").hidden = false;
  byId("timeline").hidden = !app.model.time && !app.model.resident.ns?.length;
  startTheme(repaintAll);
  renderTitle();
  syncLosses();
  renderCards();
  plotLegend();
  startGraph();
  startWindow();
  startTable();
  startControls();
  showFilters(filterCount() > 0);
  syncControls();
  render();
  window.addEventListener("popstate", follow);
  new ResizeObserver(schedule).observe(byId("scroller"));
  new ResizeObserver(schedule).observe(byId("timeline"));
}

function frameFacts(label) {
  return { function: app.places.name(label), file: app.places.file(label), line: app.places.line(label) };
}

/** What is shown, for tests. */
function shownState() {
  const { state, model, tree, values, layout, found } = app;
  const amounts = (part, node) => Object.fromEntries(AMOUNT_COLUMNS.slice(0, values.siteColumns.length).map((name, at) => [name, values.folded(at)[part][node]]));
  const frames = layout && !state.table ? layout.rows.flatMap((row, depth) => row.nodes.map((node, at) => ({
    ...frameFacts(tree.label[node]), ...amounts("total", node), own: amounts("own", node), depth, x: row.x[at], width: row.width[at], y: rowTop(depth), node,
  }))) : [];
  const rows = state.table ? app.shownRows.map((row) => ({ name: row.name, detail: row.detail, own: row.own, total: row.total, allocators: kindsText(row) })) : [];
  return {
    ...state,
    window_ns: state.window && windowTimes(model, state.window),
    zoom: state.zoom.map(frameFacts),
    totals: amounts("total", 0),
    frames,
    selected: app.selected < 0 ? null : frameFacts(tree.label[app.selected]),
    search: { text: state.search, matches: found ? found.matches : 0, bytes: found ? found.bytes : 0, share: found && found.whole ? found.width / found.whole : 0 },
    rows,
    nodes: tree.size,
    plot: { left: plot.left, width: plotWidth(), bins: model.time ? model.time.bins : 0 },
  };
}

function fail(text) {
  byId("loading").hidden = true;
  byId("failure").textContent = text;
  byId("failure").hidden = false;
}

async function main() {
  if (typeof DecompressionStream === "undefined") {
    fail("This browser cannot unpack the page: it needs DecompressionStream (Chrome 80, Firefox 113, Safari 16.4 or newer).");
    return;
  }
  const element = byId("data");
  try {
    start(await unpack(element.textContent));
    element.remove();
    app.timings.open = performance.now();
    const tests = Object.freeze({ state: shownState, timings: () => ({ ...app.timings }) });
    Object.defineProperty(window, "prof", { value: tests });
  } catch (error) {
    fail(`This page cannot be shown: ${error.message}`);
    throw error;
  }
}

main();
