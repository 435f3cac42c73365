// Where frames lie: rows of what is at least a pixel wide. A row has its frames from left
// to right. The widest child stands first, or, where change is shown, what grew before
// what shrank.

const NARROWEST = 1;

/** Orders the children of one node; returns those wide enough. */
function childrenToDraw(tree, values, node, scale) {
  const children = [];
  const narrowest = NARROWEST / scale;
  for (let child = node + 1; child < tree.end[node]; child = tree.end[child]) {
    if (values.width[child] >= narrowest) children.push(child);
  }
  const { width } = values;
  if (values.widths !== "change") return children.sort((a, b) => width[b] - width[a] || a - b);
  const shrinks = (child) => (changeOf(values, child) < 0 ? 1 : 0);
  return children.sort((a, b) => shrinks(a) - shrinks(b) || width[b] - width[a] || a - b);
}

/** The rows for a zoomed node and everything above and below it. */
function layOut(tree, values, zoom, pixels) {
  const rows = [];
  for (let node = zoom; node >= 0; node = tree.parent[node]) {
    rows[tree.depth[node]] = { nodes: [node], x: [0], width: [pixels] };
  }
  const layout = { rows, zoom, pixels, frames: rows.length };
  if (!(values.width[zoom] > 0)) return layout;
  const scale = pixels / values.width[zoom];
  const pending = [{ node: zoom, x: 0 }];
  while (pending.length) {
    const { node, x } = pending.pop();
    const children = childrenToDraw(tree, values, node, scale);
    let left = x;
    const placed = children.map((child) => {
      const at = { node: child, x: left };
      left += values.width[child] * scale;
      return at;
    });
    for (const { node: child, x: at } of placed) addFrame(layout, tree, child, at, values.width[child] * scale);
    for (let at = placed.length - 1; at >= 0; at -= 1) pending.push(placed[at]);
  }
  return layout;
}

function addFrame(layout, tree, node, x, width) {
  const depth = tree.depth[node];
  const row = layout.rows[depth] || (layout.rows[depth] = { nodes: [], x: [], width: [] });
  row.nodes.push(node);
  row.x.push(x);
  row.width.push(width);
  layout.frames += 1;
}

/** The index in a row of the frame at `x`, or -1. */
function frameAt(row, x) {
  let low = 0;
  let high = row.nodes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (row.x[middle] <= x) low = middle + 1;
    else high = middle;
  }
  const at = low - 1;
  return at >= 0 && x < row.x[at] + Math.max(row.width[at], 2) ? at : -1;
}

/** Where a node was drawn: its row and index, or `null`. */
function frameOf(layout, tree, node) {
  const row = node >= 0 && node < tree.size ? layout.rows[tree.depth[node]] : null;
  const at = row ? row.nodes.indexOf(node) : -1;
  return at < 0 ? null : { row, at };
}
