// Beside the graph: the largest places of the view, or all about the selected frame.

const LARGEST = 8;
const NEIGHBOURS = 6;
const LINES_AROUND = 4;

/** The widest node of a place or function in the tree that is drawn. */
function widestNode(by, id) {
  const { tree, values } = app;
  const group = app.places.grouping(by);
  let widest = 0;
  for (let node = 1; node < tree.size; node += 1) {
    const label = tree.label[node];
    const isIt = label < group.of.length && group.of[label] === id;
    if (isIt && (widest === 0 || values.width[node] > values.width[widest])) widest = node;
  }
  return widest;
}

/** One entry of a ranking: name, where, amount, and a bar as long as its share. */
function rankedEntry({ name, at, amount, share, part, shrinks, open }) {
  const meter = el("i", { class: shrinks ? "meter shrink" : "meter" });
  meter.style.width = `calc(${Math.min(100, 100 * part).toFixed(2)}% - 16px * ${Math.min(1, part).toFixed(3)})`;
  return el("li", {}, el(
    "button",
    { type: "button", onclick: open },
    el("span", { class: "name" }, el("bdi", {}, shorten(name, 120))),
    el("span", { class: "amount" }, amount),
    el("span", { class: "at" }, el("bdi", {}, shorten(at, 120))),
    el("span", { class: "share" }, share),
    meter,
  ));
}

function changeText(change) {
  const arrow = change > 0 ? "▲ " : change < 0 ? "▼ " : "";
  return `${arrow}${signedText(change, amountText(app.state.measure))}`;
}

/** The rows with the largest own amounts, or changes. */
function largestRows() {
  const index = app.state.measure === "blocks" ? 1 : 0;
  const isChange = Boolean(app.upright.before);
  const amountOf = (row) => row.own[index] - (isChange ? row.own[index + BEFORE] : 0);
  const rows = rowsOf("place").map((row) => ({ row, amount: amountOf(row) })).filter(({ amount }) => amount !== 0);
  return rows.sort((a, b) => Math.abs(b.amount) - Math.abs(a.amount));
}

function largestPart() {
  const { upright, state } = app;
  const rows = largestRows();
  const isChange = Boolean(upright.before);
  const whole = isChange ? rows.reduce((sum, { amount }) => sum + Math.abs(amount), 0) : upright.after.total[0];
  const text = amountText(state.measure);
  const list = el("ol", { class: "ranked" }, ...rows.slice(0, LARGEST).map(({ row, amount }) => rankedEntry({
    name: row.name,
    at: row.detail && app.places.at(app.places.grouping("place").example[row.id]),
    amount: isChange ? changeText(amount) : text(amount),
    share: shareText(amount, whole),
    part: Math.abs(amount) / (whole || 1),
    shrinks: amount < 0,
    open: () => selectNode(row.id < 0 ? 0 : widestNode("place", row.id)),
  })));
  const heading = isChange ? "What changed most, by line" : "The lines that allocated most of it";
  const more = rows.length > LARGEST && el("button", { type: "button", onclick: () => change({ table: true, by: "place", sort: "" }) }, `All ${countText(rows.length)} in the table`);
  return [el("h2", {}, heading), rows.length ? list : el("p", { class: "dim" }, "Nothing here."), more];
}

function sourcePart(label) {
  const { places } = app;
  const line = places.line(label);
  if (!places.sourceLine(label)) return null;
  const box = el("div", { class: "source", tabindex: "0", "aria-label": "Source" });
  for (let at = Math.max(1, line - LINES_AROUND); at <= line + LINES_AROUND; at += 1) {
    const text = places.sourceLine(label, at);
    if (text == null) continue;
    box.append(el("div", { class: at === line ? "here" : "" }, el("span", { class: "number" }, String(at)), el("code", {}, shorten(text, 400))));
  }
  return box;
}

function neighbourPart(title, rows, whole) {
  if (!rows.length) return null;
  const { places, values, tree } = app;
  const entries = rows.slice(0, NEIGHBOURS).map((row) => rankedEntry({
    name: row.label < 0 ? (app.state.inverted ? "(allocates itself)" : "(outermost)") : places.name(row.label),
    at: places.at(row.label),
    amount: values.before ? changeText(row.total - row.before) : amountText(values.measure)(row.total),
    share: shareText(row.width, whole),
    part: row.width / (whole || 1),
    shrinks: values.before && row.total < row.before,
    open: () => selectNode(row.label < 0 ? 0 : functionNode(tree, row)),
  }));
  const rest = rows.length - NEIGHBOURS;
  return el("section", {}, el("h3", {}, title), el("ul", { class: "ranked" }, ...entries), rest > 0 && el("p", { class: "dim" }, `and ${pluralText(rest, "other")}`));
}

function functionNode(tree, row) {
  return app.places.isThread(row.label) ? row.node : widestNode("function", app.places.grouping("function").of[row.label]);
}

/** The whole function over all its frames, with its callers and what it calls. */
function functionPart(label) {
  const { places, tree, values, state } = app;
  const group = places.grouping("function");
  const id = group.of[label];
  const around = neighbours(tree, values, group, id);
  const [callers, callees] = app.isInverted ? [around.below, around.above] : [around.above, around.below];
  const whole = [...around.above].reduce((sum, row) => sum + row.width, 0);
  const text = amountText(state.measure);
  const all = values.after.total[0];
  const own = rowsOf("function").filter((row) => row.id === id).reduce((sum, row) => sum + row.own[state.measure === "blocks" ? 1 : 0], 0);
  return [
    el("section", {}, el("h3", {}, "The function, wherever it is called"), numberRows([
      ["with calls", text(around.totals.total), shareText(around.totals.total, all)],
      ...(values.before ? [[momentNames()[0], text(around.totals.before), ""], ["difference", changeText(around.totals.total - around.totals.before), ""]] : []),
      ["own", text(own), shareText(own, all)],
    ])),
    neighbourPart("Called by", callers, whole),
    neighbourPart("Calls", callees, whole),
  ];
}

function selectedPart(node) {
  const { places, tree, model, state, values } = app;
  const label = tree.label[node];
  const isPlace = label >= 0 && !places.isThread(label);
  const { kinds, threads } = breakdown(node);
  const amount = amountText(values.measure);
  const whole = values.after.total[node];
  const parts = (list, nameOfPart) => numberRows(list.slice(0, 5).map(([part, value]) => [shorten(nameOfPart(part), 34), amount(value), shareText(value, whole)]));
  return [
    el(
      "div",
      { class: "panel-head" },
      el("div", {}, el("h2", { class: "mono" }, el("bdi", {}, node === 0 ? rootName() : places.name(label))), places.at(label) && el("div", { class: "at" }, el("bdi", {}, places.at(label, true))), isPlace && el("div", { class: "at" }, KIND_NAMES[places.kind(label)])),
      el("button", { type: "button", "aria-label": "Back to the largest places", title: "Back to the largest places", onclick: () => selectNode(-1) }, "✕"),
    ),
    isPlace && sourcePart(label),
    el("section", {}, el("h3", {}, "This frame"), numberRows(nodeNumbers(node))),
    state.table && el("button", { type: "button", onclick: () => change({ table: false, zoom: pathOf(tree, node) }) }, "Show in the graph"),
    kinds.length > 0 && el("section", {}, el("h3", {}, "Allocators"), parts(kinds, (kind) => model.kinds[kind])),
    model.threads.length > 1 && threads.length > 0 && el("section", {}, el("h3", {}, "Threads"), parts(threads, (thread) => places.threadName(thread))),
    ...(isPlace ? functionPart(label) : []),
  ];
}

function renderPanel() {
  const parts = app.selected >= 0 ? selectedPart(app.selected) : largestPart();
  const panel = byId("panel");
  panel.parentElement.classList.toggle("alone", app.state.table && app.selected < 0);
  const hadFocus = panel.contains(document.activeElement);
  fill(panel, ...parts);
  if (hadFocus) panel.focus();
  panel.setAttribute("aria-label", app.selected >= 0 ? "Selected frame" : "Largest places");
}
