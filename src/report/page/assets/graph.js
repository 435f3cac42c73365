// Paints the graph. Only the rows in sight are painted: the canvas stays in place while
// its scroller moves over a spacer as high as all rows.

const PADDING = 6;
const LEAST_FOR_TEXT = 26;
const graph = { row: 22, first: 0, step: 22, context: null, font: "", hovered: -1, texts: new Map() };

function graphSize() {
  const scroller = byId("scroller");
  return { width: scroller.clientWidth, height: scroller.clientHeight };
}

/** Where the root's row is, from the top of what is in sight, and where the rows go. */
function placeRows() {
  const { rows } = app.layout;
  const spare = Math.max(0, graphSize().height - rows.length * graph.row);
  const root = app.state.flame ? (rows.length - 1) * graph.row + spare : 0;
  graph.first = root - byId("scroller").scrollTop;
  graph.step = app.state.flame ? -graph.row : graph.row;
}

/** The top of a row, from the top of what is in sight. */
function rowTop(depth) {
  return graph.first + depth * graph.step;
}

/** The row at a height in sight. */
function rowAt(y) {
  const below = Math.floor((y - graph.first) / graph.row);
  const depth = app.state.flame ? -below : below;
  return depth >= 0 && depth < app.layout.rows.length ? depth : -1;
}

/** The node at a point of the canvas, or -1. */
function nodeUnder(x, y) {
  const depth = rowAt(y);
  if (depth < 0) return -1;
  const row = app.layout.rows[depth];
  const at = frameAt(row, x);
  return at < 0 ? -1 : row.nodes[at];
}

function paintGraph() {
  const { width, height } = graphSize();
  if (!width || !app.layout) return;
  const context = sharpContext(byId("graph"), width, height);
  graph.context = context;
  context.textBaseline = "middle";
  context.direction = "ltr";
  const { rows } = app.layout;
  placeRows();
  for (let depth = 0; depth < rows.length; depth += 1) {
    const top = rowTop(depth);
    if (top > -graph.row && top < height) paintRow(rows[depth], top);
  }
  paintRing(graph.hovered, 1);
  paintRing(app.selected, 2);
}

function paintRow(row, top) {
  for (let at = 0; at < row.nodes.length; at += 1) paintFrame(row.nodes[at], row.x[at], row.width[at], top);
}

function frameColour(node) {
  const label = app.tree.label[node];
  const { values, found } = app;
  if (found && isFound(label)) return theme.shades.found[0];
  if (values.before) return changeColour(values.after.total[node], values.before.total[node]);
  return kindColour(app.places.kind(label), Math.max(0, label));
}

function isFound(label) {
  return Boolean(app.found) && label >= 0 && label < app.found.matching.length && app.found.matching[label] === 1;
}

function paintFrame(node, x, width, top) {
  const { context } = graph;
  const isAbove = app.tree.depth[node] < app.tree.depth[app.layout.zoom];
  const matches = isFound(app.tree.label[node]);
  context.globalAlpha = isAbove ? 0.55 : app.found && !matches ? 0.5 : 1;
  context.fillStyle = frameColour(node);
  context.fillRect(x, top, Math.max(0.6, width - 1), graph.row - 1);
  context.globalAlpha = 1;
  if (width >= LEAST_FOR_TEXT) paintText(node, x + PADDING, width - 2 * PADDING - 1, top + graph.row / 2, matches);
}

/** The name, then file and line, then the amount at the right: as far as there is room. */
function paintText(node, x, room, middle, isBold) {
  const { context } = graph;
  const label = app.tree.label[node];
  const name = fitted(nameOf(node), room, isBold);
  if (!name) return;
  context.font = isBold ? graph.bold : graph.font;
  context.fillStyle = theme.tones.ink;
  context.fillText(name, x, middle);
  if (isBold) context.fillRect(x, middle + 7, Math.min(room, textWidth(name, true)), 1);
  let left = room - textWidth(name, isBold) - 14;
  const amount = frameAmount(node);
  const amountWidth = textWidth(amount, false);
  context.font = graph.font;
  context.fillStyle = theme.tones.soft;
  if (left > amountWidth + 20) {
    context.fillText(amount, x + room - amountWidth, middle);
    left -= amountWidth + 14;
  }
  const at = app.places.at(label);
  if (at && left > 60) {
    const shown = fitted(isolated(at), left, false);
    context.fillText(shown, x + textWidth(name, isBold) + 12, middle);
  }
}

function nameOf(node) {
  return node === 0 ? rootName() : isolated(app.places.name(app.tree.label[node]));
}

function rootName() {
  return app.state.inverted ? "all, by the function that allocates" : "all";
}

/** The amount of a frame in the measure shown; a change has its sign. */
function frameAmount(node) {
  const text = amountText(app.state.measure);
  const { values } = app;
  if (!values.before) return text(values.after.total[node]);
  const change = changeOf(values, node);
  const arrow = change > 0 ? "▲ " : change < 0 ? "▼ " : "";
  return `${arrow}${signedText(change, text)}`;
}

function textWidth(text, isBold) {
  const key = isBold ? `*${text}` : text;
  let width = graph.texts.get(key);
  if (width === undefined) {
    if (graph.texts.size > 20000) graph.texts.clear();
    graph.context.font = isBold ? graph.bold : graph.font;
    width = graph.context.measureText(text).width;
    graph.texts.set(key, width);
  }
  return width;
}

/** As much of a text as there is room for. */
function fitted(text, room, isBold) {
  const whole = shorten(text, Math.max(4, Math.ceil(room / 2.5)));
  const width = textWidth(whole, isBold);
  if (width <= room) return whole;
  let keeps = Math.floor(whole.length * room / width);
  while (keeps > 1 && textWidth(`${whole.slice(0, keeps)}…`, isBold) > room) keeps -= 1;
  return keeps > 1 ? `${whole.slice(0, keeps)}…` : "";
}

function paintRing(node, thickness) {
  const place = frameOf(app.layout, app.tree, node);
  if (!place) return;
  const { context } = graph;
  const half = thickness / 2;
  context.strokeStyle = theme.tones.ring;
  context.lineWidth = thickness;
  const width = Math.max(2, place.row.width[place.at] - 1);
  context.strokeRect(place.row.x[place.at] + half, rowTop(app.tree.depth[node]) + half, width - thickness, graph.row - 1 - thickness);
}

/** Scrolls so that a row is in sight. */
function scrollToRow(depth) {
  placeRows();
  const scroller = byId("scroller");
  const top = rowTop(depth);
  const { height } = graphSize();
  if (top < 0) scroller.scrollTop += top - graph.row;
  else if (top + graph.row > height) scroller.scrollTop += top + 2 * graph.row - height;
}

/** Makes the spacer as high as the rows. In a flame the root is at the bottom. */
function sizeGraph(rootMoved) {
  const height = app.layout.rows.length * graph.row;
  byId("spacer").style.height = `${height}px`;
  // A zoom does not make the page shorter.
  graph.tallest = graph.tree === app.tree ? Math.max(graph.tallest, height) : height;
  graph.tree = app.tree;
  byId("scroller").style.height = `${graph.tallest + 60}px`;
  if (rootMoved && app.state.flame) byId("scroller").scrollTop = height;
  else if (rootMoved) byId("scroller").scrollTop = 0;
}

function startGraph() {
  const canvas = byId("graph");
  graph.row = window.matchMedia("(pointer: coarse)").matches ? 27 : 22;
  const sans = getComputedStyle(document.body).fontFamily;
  graph.font = `12px ${sans}`;
  graph.bold = `bold 12px ${sans}`;
  byId("scroller").addEventListener("scroll", () => { hideTooltip(); schedulePaint(); }, { passive: true });
  canvas.addEventListener("pointermove", (event) => hoverGraph(event));
  canvas.addEventListener("pointerleave", () => hoverNode(-1));
  canvas.addEventListener("click", (event) => {
    const node = nodeUnder(event.offsetX, event.offsetY);
    if (node >= 0) zoomTo(node);
  });
  canvas.addEventListener("keydown", graphKey);
  canvas.addEventListener("focus", () => schedulePaint());
}

function hoverGraph(event) {
  if (event.pointerType === "touch") return;
  const node = nodeUnder(event.offsetX, event.offsetY);
  hoverNode(node);
  if (node >= 0) showTooltip(node, () => frameTooltip(node), event);
}

function hoverNode(node) {
  if (node < 0) hideTooltip();
  if (graph.hovered === node) return;
  graph.hovered = node;
  byId("graph").style.cursor = node < 0 ? "default" : "pointer";
  schedulePaint();
}
