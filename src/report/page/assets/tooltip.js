// What is said about the frame under the pointer.

const tooltip = { about: null };

/** How a node's amount divides into kinds of allocators and threads. */
function breakdown(node) {
  const { tree, model, values } = app;
  const column = values.siteColumns[values.measure === "blocks" ? 1 : 0];
  const kinds = new Map();
  const threads = new Map();
  for (let site = 0; site < tree.siteNode.length; site += 1) {
    const at = tree.siteNode[site];
    if (at < node || at >= tree.end[node] || column[site] === 0) continue;
    const { kind, thread } = model.sites;
    kinds.set(kind[site], (kinds.get(kind[site]) || 0) + column[site]);
    threads.set(thread[site], (threads.get(thread[site]) || 0) + column[site]);
  }
  const sorted = (map) => [...map].sort((a, b) => b[1] - a[1]);
  return { kinds: sorted(kinds), threads: sorted(threads) };
}

/** Rows of a description: name, amount, share. */
function numberRows(rows) {
  const list = el("dl", { class: "numbers" });
  for (const [name, amount, share] of rows) {
    list.append(el("dt", {}, name), el("dd", {}, amount), el("dd", { class: "dim" }, share || ""));
  }
  return list;
}

/** A node's numbers in words: its own and with what it called, in bytes and blocks. */
function nodeNumbers(node) {
  const { values } = app;
  const text = amountText(values.measure);
  const whole = values.after.total[0];
  const rows = [["with calls", text(values.after.total[node]), shareText(values.after.total[node], whole)]];
  if (values.before) {
    const before = values.before.total[node];
    rows.push([momentNames()[0], text(before), shareText(before, values.before.total[0])]);
    rows.push(["difference", frameAmount(node), ""]);
  }
  rows.push(["own", text(values.after.own[node]), shareText(values.after.own[node], whole)]);
  if (values.measure === "bytes") rows.push(["blocks", countText(values.folded(1).total[node]), shareText(values.folded(1).total[node], values.folded(1).total[0])]);
  else rows.push(["bytes", bytesText(values.folded(0).total[node]), shareText(values.folded(0).total[node], values.folded(0).total[0])]);
  return rows;
}

function listed(parts, nameOfPart, most) {
  const names = parts.slice(0, most).map(([part]) => shorten(nameOfPart(part), 60));
  if (parts.length > most) names.push(`${parts.length - most} more`);
  return names.join(", ");
}

function frameTooltip(node) {
  const { places, tree, model } = app;
  const label = tree.label[node];
  const { kinds, threads } = breakdown(node);
  const content = [el("div", { class: "name" }, el("bdi", {}, shorten(node === 0 ? rootName() : places.name(label))))];
  if (places.at(label)) content.push(el("div", { class: "at" }, el("bdi", {}, shorten(places.at(label, true)))));
  if (label >= 0) content.push(el("div", { class: "at" }, KIND_NAMES[places.kind(label)]));
  const rows = nodeNumbers(node);
  content.push(numberRows(rows));
  if (kinds.length) content.push(el("div", { class: "at" }, `allocated by ${listed(kinds, (kind) => model.kinds[kind], 4)}`));
  if (model.threads.length > 1 && threads.length) {
    content.push(el("div", { class: "at" }, `on ${listed(threads, (thread) => places.threadName(thread), 3)}`));
  }
  const source = places.sourceLine(label);
  if (source) content.push(el("div", { class: "source" }, el("div", {}, shorten(source.trim(), 120))));
  return content;
}

/** Shows it beside the pointer; a frame's is made once, while the pointer stays on it. */
function showTooltip(about, content, { clientX: x, clientY: y }) {
  const box = byId("tooltip");
  if (box.hidden || about === "plot" || tooltip.about !== about) fill(box, ...content());
  tooltip.about = about;
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const left = x + 16 + width > window.innerWidth ? x - width - 12 : x + 16;
  const top = y + 18 + height > window.innerHeight ? y - height - 12 : y + 18;
  box.style.left = `${Math.max(6, left)}px`;
  box.style.top = `${Math.max(6, top)}px`;
}

function hideTooltip() {
  byId("tooltip").hidden = true;
}
