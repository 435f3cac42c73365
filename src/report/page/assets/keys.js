// The keyboard: walking over the graph, and keys for the whole page.

/** Where an arrow leads from a node; `null` if nowhere. */
function neighbourOf(node, key) {
  const { tree, layout } = app;
  const towardsRoot = app.state.flame ? "ArrowDown" : "ArrowUp";
  if (key === "Home") return layout.zoom;
  if (key === towardsRoot) return node > 0 ? tree.parent[node] : null;
  const place = frameOf(layout, tree, node);
  if (!place) return layout.zoom;
  if (key === "ArrowLeft") return place.row.nodes[place.at - 1] ?? null;
  if (key === "ArrowRight") return place.row.nodes[place.at + 1] ?? null;
  return firstBelow(node);
}

/** The leftmost of the drawn children. */
function firstBelow(node) {
  const row = app.layout.rows[app.tree.depth[node] + 1];
  return row?.nodes.find((child) => app.tree.parent[child] === node) ?? null;
}

function graphKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const node = app.selected >= 0 ? app.selected : app.layout.zoom;
  if (["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home"].includes(event.key)) {
    const next = app.selected < 0 ? node : neighbourOf(node, event.key);
    if (next != null) selectNode(next, true);
  } else if (event.key === "Enter" || event.key === " ") zoomTo(node);
  else if (event.key === "Backspace" && app.layout.zoom > 0) zoomTo(app.tree.parent[app.layout.zoom]);
  else return;
  event.preventDefault();
}

const VIEW_KEYS = { 1: "peak", 2: "leaks", 3: "temporary", 4: "allocations", 5: "time" };

/** Keys that work everywhere but in fields. */
function pageKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  const isField = event.target.matches("input, select, textarea");
  if (event.key === "Escape") return undoOne(event, isField);
  if (isField) return;
  const acts = {
    "/": () => byId("search").focus(),
    "?": () => byId("help").showModal(),
    t: () => change({ table: !app.state.table }),
    i: () => change({ inverted: !app.state.inverted, zoom: [] }),
  };
  const act = acts[event.key] || (VIEW_KEYS[event.key] && (() => chooseView(VIEW_KEYS[event.key])));
  if (!act) return;
  event.preventDefault();
  act();
}

/** Escape undoes one thing: what was typed, the zoom, the window. */
function undoOne(event, isField) {
  hideTooltip();
  if (isField) {
    if (event.target.type === "search" && event.target.value) {
      event.target.value = "";
      event.target.dispatchEvent(new Event("input", { bubbles: true }));
    } else event.target.blur();
  } else if (app.state.zoom.length && !app.state.table) change({ zoom: [] });
  else if (app.state.window) change({ window: null });
  else if (app.selected >= 0) selectNode(-1);
  else return;
  event.preventDefault();
}
