// Paints the plot of heap and resident set over the recording, with axes, gaps and the
// window.

const PLOT_HEIGHT = 124;
const HEADROOM = 1.04;
const FLAT = 4;
const SIDE = 74;
const plot = { left: SIDE, right: 14, top: 8, bottom: 22, width: 0, hover: null, showsHeap: true, showsResident: true };

function recordingNs() {
  const { model } = app;
  const { ns } = model.resident;
  const bins = model.time ? model.time.bins * model.time.binNs : 0;
  return Math.max(model.recording.duration_ns || 0, bins, ns && ns.length ? ns[ns.length - 1] : 0, 1);
}

function plotWidth() {
  return Math.max(1, plot.width - plot.left - plot.right);
}

function xOf(ns) {
  return plot.left + plotWidth() * ns / recordingNs();
}

function nsAt(x) {
  return Math.min(1, Math.max(0, (x - plot.left) / plotWidth())) * recordingNs();
}

function binAt(x) {
  const { time } = app.model;
  return Math.min(time.bins - 1, Math.max(0, Math.floor(nsAt(x) / time.binNs)));
}

function largest(column) {
  let most = 0;
  if (column) for (const value of column) if (value > most) most = value;
  return most;
}

/** The scales of both lines: `{step, ticks}`. A heap that would be flat beside a large
 * resident set gets a scale of its own, at the left. */
function plotScales() {
  const { time, resident } = app.model;
  const heap = plot.showsHeap && time ? largest(time.heap) : 0;
  const other = plot.showsResident ? largest(resident.bytes) : 0;
  const isApart = heap > 0 && other > FLAT * heap;
  const left = scaleFor(isApart ? heap : Math.max(heap, other, 1), 4);
  return { heap: left, resident: isApart ? { step: byteStep(other * HEADROOM, left.ticks), ticks: left.ticks } : left, isApart };
}

function scaleFor(most, ticks) {
  const step = byteStep(most, ticks);
  return { step, ticks: Math.max(1, Math.ceil(most * HEADROOM / step)) };
}

/** The least power of two (so that ticks are exact in IEC units) that gives at most `most` ticks. */
function byteStep(top, most) {
  return 2 ** Math.max(0, Math.ceil(Math.log2(top / most)));
}

const SECOND = 1e9;
const LONG_STEPS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400];

function timeStep(span, most) {
  const least = span / most;
  if (least > 30 * SECOND) return SECOND * (LONG_STEPS.find((step) => step * SECOND >= least) || 86400 * Math.ceil(least / (86400 * SECOND)));
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((step) => power * step >= least);
}

/** A moment on the axis: as many digits as the step needs. */
function tickText(ns, step) {
  if (ns === 0) return "0 s";
  if (step >= 60 * SECOND) {
    const minutes = Math.round(ns / (60 * SECOND));
    return minutes >= 120 && step >= 1800 * SECOND ? `${+(minutes / 60).toFixed(1)} h` : `${minutes} min`;
  }
  const [unit, name] = recordingNs() >= SECOND ? [SECOND, "s"] : recordingNs() >= 1e6 ? [1e6, "ms"] : [1e3, "µs"];
  const digits = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  return `${(ns / unit).toFixed(digits)} ${name}`;
}

/** A moment in text, as exact as the plot is. */
function momentText(ns) {
  if (recordingNs() >= 120 * SECOND) return durationText(Math.round(ns / SECOND) * SECOND);
  return tickText(ns, Math.min(SECOND / 10, timeStep(recordingNs(), 100)));
}

function paintPlot() {
  const canvas = byId("plot");
  plot.width = canvas.parentElement.clientWidth;
  if (!plot.width) return;
  const context = sharpContext(canvas, plot.width, PLOT_HEIGHT);
  context.font = `11.5px ${theme.css.sans}`;
  const scales = plotScales();
  plot.right = scales.isApart ? SIDE : 14;
  const base = PLOT_HEIGHT - plot.bottom;
  const heightIn = ({ step, ticks }) => (bytes) => base - (base - plot.top) * bytes / (step * ticks);
  paintAmounts(context, scales, base);
  paintTimes(context, base);
  paintGaps(context, base);
  if (plot.showsHeap && app.model.time) paintHeap(context, heightIn(scales.heap), base);
  if (plot.showsResident) paintResident(context, heightIn(scales.resident));
  if (app.model.time) paintWindow(context, heightIn(scales.heap), base);
  if (plot.hover != null) paintHair(context, xOf(plot.hover), base);
}

function paintAmounts(context, { heap, resident, isApart }, base) {
  context.strokeStyle = theme.css.line;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  const text = (bytes) => (bytes ? bytesText(bytes).replace(".0 ", " ") : "0");
  for (let tick = 0; tick <= heap.ticks; tick += 1) {
    const y = Math.round(base - (base - plot.top) * tick / heap.ticks) + 0.5;
    strokeLine(context, plot.left, y, plot.width - plot.right, y);
    context.fillStyle = isApart ? theme.css.heap : theme.css.dim;
    context.textAlign = "right";
    context.fillText(text(tick * heap.step), plot.left - 8, y);
    if (!isApart) continue;
    context.fillStyle = theme.css.resident;
    context.textAlign = "left";
    context.fillText(text(tick * resident.step), plot.width - plot.right + 8, y);
  }
}

function paintTimes(context, base) {
  context.fillStyle = theme.css.dim;
  context.strokeStyle = theme.css.line;
  context.textBaseline = "alphabetic";
  const span = recordingNs();
  const every = timeStep(span, Math.max(2, Math.floor(plotWidth() / 70)));
  for (let tick = 0; tick * every <= span; tick += 1) {
    const x = Math.round(xOf(tick * every)) + 0.5;
    strokeLine(context, x, base, x, base + 4);
    context.textAlign = x > plot.width - 38 ? "right" : tick ? "center" : "left";
    context.fillText(tickText(tick * every, every), x, PLOT_HEIGHT - 5);
  }
}

function strokeLine(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

/** Times in which events were lost: hatched, at least three pixels each. */
function paintGaps(context, base) {
  const { gaps } = app.model.recording;
  if (!gaps?.length) return;
  context.save();
  const area = new Path2D();
  for (const [from, to] of gaps) area.rect(xOf(from), plot.top, Math.max(3, xOf(to) - xOf(from)), base - plot.top);
  context.clip(area);
  context.strokeStyle = theme.css.warn;
  context.globalAlpha = 0.55;
  for (let x = plot.left - base; x < plot.width; x += 6) strokeLine(context, x, base, x + base, 0);
  context.restore();
}

function paintHeap(context, yOf, base) {
  const { heap, bins, binNs } = app.model.time;
  const line = new Path2D();
  for (let bin = 0; bin < bins; bin += 1) {
    line.lineTo(xOf(bin * binNs), yOf(heap[bin]));
    line.lineTo(xOf((bin + 1) * binNs), yOf(heap[bin]));
  }
  const area = new Path2D(line);
  area.lineTo(xOf(bins * binNs), base);
  area.lineTo(xOf(0), base);
  context.fillStyle = theme.css["heap-soft"];
  context.fill(area);
  context.strokeStyle = theme.css.heap;
  context.lineWidth = 1.5;
  context.stroke(line);
}

function paintResident(context, yOf) {
  const { ns, bytes } = app.model.resident;
  if (!ns || !ns.length) return;
  context.beginPath();
  for (let at = 0; at < ns.length; at += 1) context.lineTo(xOf(ns[at]), yOf(bytes[at]));
  if (ns.length === 1) context.lineTo(xOf(recordingNs()), yOf(bytes[0]));
  context.strokeStyle = theme.css.resident;
  context.lineWidth = 1.75;
  context.setLineDash([5, 3]);
  context.stroke();
  context.setLineDash([]);
}

function paintWindow(context, yOf, base) {
  const { model, state } = app;
  if (state.view === "time" && state.window) {
    const [from, to] = windowTimes(model, state.window);
    const left = xOf(from);
    const right = xOf(to);
    context.fillStyle = theme.css.window;
    context.fillRect(left, plot.top, right - left, base - plot.top);
    paintHandle(context, left, base);
    paintHandle(context, right, base);
  }
  if (state.view === "peak" || (state.view === "time" && state.shows === "held")) {
    const isWhole = state.view === "peak" || !state.window;
    const bin = peakBin(model.time, isWhole ? [0, model.time.bins - 1] : state.window);
    const at = isWhole ? model.recording.peak_time_ns : (bin + 0.5) * model.time.binNs;
    if (model.time.heap[bin] > 0) paintPeak(context, xOf(at), yOf(model.time.heap[bin]), base);
  }
}

function paintHandle(context, x, base) {
  context.strokeStyle = theme.css.resident;
  context.lineWidth = 1.5;
  strokeLine(context, x, plot.top, x, base);
  context.fillStyle = theme.css.resident;
  const middle = (plot.top + base) / 2;
  context.fillRect(x - 4, middle - 13, 8, 26);
  context.fillStyle = theme.css.card;
  context.fillRect(x - 1.5, middle - 7, 1, 14);
  context.fillRect(x + 0.5, middle - 7, 1, 14);
}

/** The moment that is looked at. */
function paintPeak(context, x, y, base) {
  context.strokeStyle = theme.css.heap;
  context.lineWidth = 1;
  strokeLine(context, x, y, x, base);
  context.beginPath();
  context.arc(x, y, 4, 0, 2 * Math.PI);
  context.fillStyle = theme.css.heap;
  context.fill();
  context.strokeStyle = theme.css.card;
  context.lineWidth = 1.5;
  context.stroke();
}

function paintHair(context, x, base) {
  context.strokeStyle = theme.css["strong-line"];
  context.lineWidth = 1;
  strokeLine(context, x, plot.top, x, base);
}

/** What the resident set was at a moment: the last sample up to there. */
function residentAt(at) {
  const { ns, bytes } = app.model.resident;
  let low = 0;
  let high = ns ? ns.length : 0;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ns[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low > 0 ? bytes[low - 1] : null;
}

function plotTooltip(ns) {
  const rows = [];
  const { time } = app.model;
  if (time) rows.push(["heap, at most", bytesText(time.heap[Math.min(time.bins - 1, Math.floor(ns / time.binNs))])]);
  const resident = residentAt(ns);
  if (resident != null) rows.push(["resident set", bytesText(resident)]);
  return [el("div", { class: "figure" }, momentText(ns)), numberRows(rows)];
}

function plotLegend() {
  const { model } = app;
  const toggle = (name, mark, property) => el("button", {
    type: "button",
    "aria-pressed": String(plot[property]),
    title: "Show or hide",
    onclick: () => {
      plot[property] = !plot[property];
      plotLegend();
      paintPlot();
    },
  }, mark, ` ${name}`);
  const swatch = el("i", { class: "swatch" });
  swatch.style.background = theme.css.heap;
  const lost = el("i", { class: "swatch" });
  lost.style.background = `repeating-linear-gradient(135deg, ${theme.css.warn} 0 1px, transparent 1px 4px)`;
  fill(
    byId("plot-legend"),
    model.time && toggle("heap (recorded blocks)", swatch, "showsHeap"),
    model.resident.ns?.length ? toggle(plotScales().isApart ? "resident set (scale at the right)" : "resident set", el("i", { class: "as-line" }), "showsResident") : null,
    (model.recording.gaps || []).length ? el("span", {}, lost, "events lost") : null,
  );
}
