// Sums by function, place, file, module, thread or kind of allocator: the rows of the
// table. They are made from the upright tree, so that hidden frames count for their callers.

/** One row; `own` and `total` have the columns of `treeValues`. */
function newRow(id, thread, columns, node) {
  return { id, thread, own: new Array(columns).fill(0), total: new Array(columns).fill(0), node, widest: -1, until: 0, kinds: [] };
}

/** The rows of a grouping of places. Recursion counts once: only the outermost frame of a
 * row adds to its total. */
function rowsByPlace(tree, values, group, { kinds, split }) {
  const rows = new Map();
  const rowOf = new Array(tree.size);
  const columns = values.siteColumns.length;
  let thread = -1;
  for (let node = 0; node < tree.size; node += 1) {
    const label = tree.label[node];
    const isPlace = label >= 0 && label < group.of.length;
    if (split && label >= group.of.length) thread = label - group.of.length;
    const id = isPlace ? group.of[label] : -1;
    const key = (thread + 1) * (group.count + 1) + id + 1;
    let row = rows.get(key);
    if (!row) rows.set(key, row = newRow(id, thread, columns, node));
    rowOf[node] = row;
    addNode(row, node, tree, values, isPlace);
  }
  addKinds(tree, rowOf, values.siteColumns, kinds);
  return [...rows.values()];
}

function addNode(row, node, tree, values, isPlace) {
  const isOutermost = isPlace && node >= row.until;
  if (isOutermost) row.until = tree.end[node];
  for (let at = 0; at < row.own.length; at += 1) {
    row.own[at] += values.folded(at).own[node];
    if (isOutermost) row.total[at] += values.folded(at).total[node];
    else if (!isPlace) row.total[at] += values.folded(at).own[node];
  }
  if (values.width[node] > row.widest) {
    row.widest = values.width[node];
    row.node = node;
  }
}

function addKinds(tree, rowOf, columns, kinds) {
  for (let site = 0; site < tree.siteNode.length; site += 1) {
    const node = tree.siteNode[site];
    if (node < 0 || !columns.some((column) => column[site] !== 0)) continue;
    const row = rowOf[node];
    if (!row.kinds.includes(kinds[site])) row.kinds.push(kinds[site]);
  }
}

/** The rows of threads or kinds of allocators, which are the sites' own. */
function rowsBySite(tree, values, { of, threads, kinds }) {
  const rows = new Map();
  for (let site = 0; site < tree.siteNode.length; site += 1) {
    if (tree.siteNode[site] < 0) continue;
    const thread = threads ? threads[site] : -1;
    const key = (thread + 1) * 0x10000000 + of[site];
    let row = rows.get(key);
    if (!row) rows.set(key, row = newRow(of[site], thread, values.siteColumns.length, 0));
    values.siteColumns.forEach((column, at) => { row.own[at] += column[site]; });
    if (!row.kinds.includes(kinds[site])) row.kinds.push(kinds[site]);
  }
  for (const row of rows.values()) row.total = row.own;
  return [...rows.values()];
}

/** All rows that have anything in this view. */
function tally(model, places, tree, values, by, split) {
  const { sites } = model;
  const threads = split ? sites.thread : null;
  let rows;
  if (by === "thread") rows = rowsBySite(tree, values, { of: sites.thread, threads: null, kinds: sites.kind });
  else if (by === "kind") rows = rowsBySite(tree, values, { of: sites.kind, threads, kinds: sites.kind });
  else rows = rowsByPlace(tree, values, places.grouping(by), { kinds: sites.kind, split });
  return rows.filter((row) => row.total.some((value) => value !== 0)).map((row) => withWords(row, model, places, by));
}

/** Puts the words on a row. */
function withWords(row, model, places, by) {
  const words = { name: HIDDEN_FRAMES, detail: "", fileKind: null };
  if (by === "thread") words.name = places.threadName(row.id);
  else if (by === "kind") words.name = model.kinds[row.id];
  else if (row.id >= 0) {
    const label = places.grouping(by).example[row.id];
    words.fileKind = places.kind(label);
    if (by === "file") words.name = places.file(label) || NO_STACK;
    else if (by === "module") Object.assign(words, { name: places.module(label), detail: KIND_NAMES[words.fileKind] });
    else Object.assign(words, { name: places.name(label), detail: by === "place" ? places.at(label, true) : places.file(label) });
  }
  return Object.assign(row, words);
}

/** Who calls a function and whom it calls, with the amounts that pass between. The
 * `below` list has what the tree shows below the function, `above` what is above. */
function neighbours(tree, values, group, id) {
  const place = new Uint8Array(tree.size);
  const lists = { above: new Map(), below: new Map() };
  const totals = { own: 0, total: 0, before: 0, ownBefore: 0, blocks: 0, bytes: 0 };
  for (let node = 1; node < tree.size; node += 1) {
    const parent = tree.parent[node];
    const label = tree.label[node];
    const isIt = label < group.of.length && group.of[label] === id;
    place[node] = placeBelow(place[parent], isIt);
    if (isIt) addOwn(totals, values, node);
    if (place[node] === 1 && place[parent] === 0) {
      addTotal(totals, values, node);
      addNeighbour(lists.above, tree, values, group, parent, node);
    } else if (place[node] === 2 && place[parent] === 1) {
      addNeighbour(lists.below, tree, values, group, node, node);
    }
  }
  const sorted = (list) => [...list.values()].filter((row) => row.width > 0).sort((a, b) => b.width - a.width);
  return { totals, above: sorted(lists.above), below: sorted(lists.below) };
}

/** Outside the function (0), in it and its direct recursion (1), below that (2). */
function placeBelow(parent, isIt) {
  if (parent === 0) return isIt ? 1 : 0;
  return parent === 1 && isIt ? 1 : 2;
}

function addOwn(totals, values, node) {
  totals.own += values.after.own[node];
  if (values.before) totals.ownBefore += values.before.own[node];
}

function addTotal(totals, values, node) {
  totals.total += values.after.total[node];
  totals.bytes += values.folded(0).total[node];
  totals.blocks += values.folded(1).total[node];
  if (values.before) totals.before += values.before.total[node];
}

function addNeighbour(list, tree, values, group, named, amount) {
  const label = tree.label[named];
  const key = label >= 0 && label < group.of.length ? group.of[label] : -2 - label;
  let row = list.get(key);
  if (!row) list.set(key, row = { label, node: named, width: 0, total: 0, before: 0, own: 0 });
  row.width += values.width[amount];
  row.total += values.after.total[amount];
  row.own += values.after.own[amount];
  if (values.before) row.before += values.before.total[amount];
}
