// Dragging a window over the plot, with mouse, finger and keyboard.

const NEAR = { mouse: 7, pen: 12, touch: 22 };
const drag = { kind: null, anchor: 0, start: null, from: 0, moved: false };

/** What a press at `x` takes hold of: a handle, the window, or a new window. */
function gripAt(x, pointerType) {
  const { state, model } = app;
  if (state.view !== "time" || !state.window) return "new";
  const [from, to] = windowTimes(model, state.window).map(xOf);
  const near = NEAR[pointerType] || NEAR.mouse;
  const toFirst = Math.abs(x - from);
  const toLast = Math.abs(x - to);
  if (Math.min(toFirst, toLast) <= near) return toFirst < toLast ? "first" : "last";
  return x > from && x < to ? "move" : "new";
}

/** The window that a drag from its start to `bin` makes. */
function draggedWindow(bin) {
  const last = app.model.time.bins - 1;
  const [first, end] = drag.start || [bin, bin];
  if (drag.kind === "first") return [Math.min(bin, end), Math.max(bin, end)];
  if (drag.kind === "last") return [Math.min(first, bin), Math.max(first, bin)];
  if (drag.kind === "new") return [Math.min(drag.anchor, bin), Math.max(drag.anchor, bin)];
  const by = Math.max(-first, Math.min(last - end, bin - drag.anchor));
  return [first + by, end + by];
}

/** What a window means in each view: of leaks, what was kept; of anything else, what was held. */
function windowChange(window) {
  if (app.state.view === "time") return { window };
  return { view: "time", shows: app.state.view === "leaks" ? "kept" : "held", window };
}

function plotDown(event) {
  if (event.button !== 0) return;
  const x = event.offsetX;
  const { state } = app;
  Object.assign(drag, { kind: gripAt(x, event.pointerType), anchor: binAt(x), start: state.view === "time" ? state.window : null, from: x, moved: false });
  byId("plot").setPointerCapture(event.pointerId);
}

function plotMove(event) {
  const x = event.offsetX;
  if (!drag.kind) {
    plot.hover = nsAt(x);
    byId("plot").style.cursor = { new: "crosshair", move: "grab" }[gripAt(x, event.pointerType)] || "ew-resize";
    paintPlot();
    if (event.pointerType !== "touch") showTooltip("plot", () => plotTooltip(plot.hover), event);
    return;
  }
  if (!drag.moved && Math.abs(x - drag.from) < 3) return;
  drag.moved = true;
  app.dragging = true;
  plot.hover = null;
  hideTooltip();
  change(windowChange(draggedWindow(binAt(x))), { replace: true, quiet: true });
}

function plotUp() {
  if (drag.kind && drag.moved) endDrag();
  drag.kind = null;
}

function endDrag() {
  app.dragging = false;
  change({});
}

function plotLeave() {
  plot.hover = null;
  hideTooltip();
  paintPlot();
}

/** Arrows move the window; Shift moves its end, Alt its begin. */
function plotKey(event) {
  const { time } = app.model;
  if (!time || event.ctrlKey || event.metaKey) return;
  const last = time.bins - 1;
  if (event.key === "Escape" && app.state.window) {
    event.preventDefault();
    change({ window: null });
    return;
  }
  const pace = event.key.startsWith("Page") ? Math.max(1, Math.round(time.bins / 10)) : 1;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -pace, PageUp: pace, Home: -last, End: last }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  change(windowChange(steppedWindow(by, last, event)), { replace: true });
  announce(byId("plot").getAttribute("aria-valuetext"));
}

function steppedWindow(by, last, event) {
  const { state, model } = app;
  if (state.view !== "time" || !state.window) {
    const peak = peakBin(model.time, [0, last]);
    const half = Math.floor(model.time.bins / 20);
    return [Math.max(0, peak - half), Math.min(last, peak + half)];
  }
  const [first, end] = state.window;
  const within = (low, bin, high) => Math.max(low, Math.min(high, bin));
  if (event.shiftKey) return [first, within(first, end + by, last)];
  if (event.altKey) return [within(0, first + by, end), end];
  const shift = within(-first, by, last - end);
  return [first + shift, end + shift];
}

function windowText() {
  const window = windowOf(app.model, app.state);
  const [from, to] = windowTimes(app.model, window);
  return `${momentText(from)} – ${momentText(to)}`;
}

/** Brings the controls beside the plot up to date. */
function syncWindow() {
  const { model, state } = app;
  const isTime = state.view === "time";
  byId("window-bar").hidden = !isTime;
  byId("window-hint").hidden = !model.time || (isTime && Boolean(state.window));
  if (!model.time) return;
  byId("shows").value = state.shows;
  byId("window-text").textContent = state.window ? windowText() : "in the whole recording";
  byId("window-clear").hidden = !state.window;
  const canvas = byId("plot");
  const [first, last] = windowOf(model, state);
  canvas.setAttribute("aria-valuemax", model.time.bins - 1);
  canvas.setAttribute("aria-valuenow", first);
  canvas.setAttribute("aria-valuetext", state.window ? `window from ${windowText().replace("–", "to")}` : `whole recording, bins ${first} to ${last}`);
}

function startWindow() {
  const canvas = byId("plot");
  canvas.addEventListener("pointermove", (event) => { if (app.model.time) plotMove(event); });
  canvas.addEventListener("pointerleave", plotLeave);
  if (!app.model.time) {
    canvas.tabIndex = -1;
    canvas.setAttribute("role", "img");
    canvas.style.cursor = "default";
    return;
  }
  canvas.addEventListener("pointerdown", plotDown);
  canvas.addEventListener("pointerup", plotUp);
  canvas.addEventListener("pointercancel", plotUp);
  canvas.addEventListener("dblclick", () => change({ window: null }));
  canvas.addEventListener("keydown", plotKey);
  byId("shows").addEventListener("change", (event) => change({ shows: event.target.value }));
  byId("window-clear").addEventListener("click", () => change({ window: null }));
}
