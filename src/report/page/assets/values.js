// How much each site and each node of a tree has in a view. There are up to four columns:
// bytes, blocks, and the same before, where a view compares two moments or recordings.

const BEFORE = 2;

const VIEWS = {
  peak: { name: "Peak", bytes: "peak_bytes", blocks: "peak_blocks" },
  leaks: { name: "Leaks", bytes: "leaked_bytes", blocks: "leaked_blocks" },
  temporary: { name: "Temporary", bytes: "temporary_bytes", blocks: "temporary_blocks" },
  allocations: { name: "All allocations", bytes: "bytes", blocks: "allocations" },
  time: { name: "Over time" },
};

function sumOf(column) {
  let sum = 0;
  if (column) for (const value of column) sum += value;
  return sum;
}

/** The columns of a view that does not depend on a window. */
function viewColumns({ sites, isComparison }, view, late) {
  const isLate = view === "leaks" && late && sites.late_bytes;
  const names = isLate ? { bytes: "late_bytes", blocks: "late_blocks" } : VIEWS[view];
  const columns = [sites[names.bytes], sites[names.blocks]];
  if (isComparison) columns.push(sites[`before_${names.bytes}`], sites[`before_${names.blocks}`]);
  return columns.map((column) => column || new Float64Array(sites.count));
}

/** The columns of the sites for what the state asks for. */
function siteColumns(model, state) {
  if (state.view !== "time") return viewColumns(model, state.view, state.late);
  const { time, sites } = model;
  const window = windowOf(model, state);
  if (state.shows === "held") {
    const held = heldAt(time, peakBin(time, window), sites.count);
    return [held.bytes, held.blocks];
  }
  if (state.shows === "kept") {
    const kept = keptIn(time, window, sites.count);
    return [kept.bytes, kept.blocks];
  }
  return liveAround(time, window, sites.count);
}

/** Whether the state compares two moments or recordings. */
function compares(model, state) {
  return model.isComparison || (state.view === "time" && state.shows === "growth");
}

/** What the widths of frames stand for: `after`, `before` or `change`. */
function widthsOf(model, state) {
  if (!compares(model, state)) return "after";
  return model.isComparison ? state.widths : "change";
}

/** Sums of one column by node: what ends there, and with everything below. */
function foldColumn(tree, column) {
  const own = new Float64Array(tree.size);
  const { siteNode, parent } = tree;
  for (let site = 0; site < siteNode.length; site += 1) {
    if (siteNode[site] >= 0) own[siteNode[site]] += column[site];
  }
  const total = own.slice();
  for (let node = tree.size - 1; node > 0; node -= 1) total[parent[node]] += total[node];
  return { own, total };
}

/** How much changed at each node and below it, growing and shrinking alike. */
function grossChange(tree, after, before) {
  const gross = new Float64Array(tree.size);
  for (let node = tree.size - 1; node >= 0; node -= 1) {
    gross[node] += Math.abs(after.own[node] - before.own[node]);
    if (node > 0) gross[tree.parent[node]] += gross[node];
  }
  return gross;
}

/** The sum of a column over the sites that a tree has. */
function sumIn(tree, column) {
  let sum = 0;
  for (let site = 0; site < column.length; site += 1) if (tree.siteNode[site] >= 0) sum += column[site];
  return sum;
}

/** The values of a tree's nodes. What a drag does not show is summed when it is asked for. */
function treeValues(tree, columns, measure, widths) {
  const known = [];
  const folded = (at) => known[at] || (known[at] = foldColumn(tree, columns[at]));
  const index = measure === "blocks" ? 1 : 0;
  const after = folded(index);
  const before = columns.length > BEFORE ? folded(index + BEFORE) : null;
  const width = { after: () => after.total, before: () => before.total, change: () => grossChange(tree, after, before) };
  return { siteColumns: columns, folded, measure, after, before, widths, width: width[widths]() };
}

/** By how much a node changed; 0 where nothing is compared. */
function changeOf(values, node) {
  return values.before ? values.after.total[node] - values.before.total[node] : 0;
}

/** Which of the frames of the tree match, and how much passes through them. */
function searchTree(tree, values, matching) {
  if (!matching) return null;
  const covered = new Uint8Array(tree.size);
  const bytes = values.folded(0).total;
  const found = { matches: 0, amount: 0, bytes: 0, width: 0, whole: values.width[0], matching };
  for (let node = 1; node < tree.size; node += 1) {
    const inside = covered[tree.parent[node]];
    const matches = tree.label[node] < matching.length && matching[tree.label[node]];
    covered[node] = inside | matches;
    if (matches && values.width[node] > 0) {
      found.matches += 1;
      if (!inside) {
        found.width += values.width[node];
        found.amount += values.after.total[node];
        found.bytes += bytes[node];
      }
    }
  }
  return found;
}
