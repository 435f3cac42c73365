// The tree that is drawn: made from the recorded stacks by leaving frames out, filtering,
// turning stacks around and splitting threads. Its nodes are in preorder: the nodes below
// `n` are `n + 1 .. end[n]`, and the next sibling of `n` is `end[n]`.

/** Gives each pair of a parent and a label one node. */
class NodeTable {
  constructor() {
    this.size = 1;
    this.parent = new Int32Array(1024).fill(-1);
    this.label = new Int32Array(1024).fill(-1);
    this.slots = new Int32Array(4096);
  }

  child(parent, label) {
    const mask = this.slots.length - 1;
    let slot = this.slotOf(parent, label) & mask;
    for (; this.slots[slot] !== 0; slot = (slot + 1) & mask) {
      const node = this.slots[slot];
      if (this.parent[node] === parent && this.label[node] === label) return node;
    }
    return this.insert(slot, parent, label);
  }

  slotOf(parent, label) {
    const mixed = Math.imul(parent, 0x9e3779b1) ^ Math.imul(label + 1, 0x85ebca6b);
    return mixed ^ (mixed >>> 15);
  }

  insert(slot, parent, label) {
    if (this.size === this.parent.length) this.growNodes();
    const node = this.size;
    this.size += 1;
    this.parent[node] = parent;
    this.label[node] = label;
    this.slots[slot] = node;
    if (this.size * 2 > this.slots.length) this.growSlots();
    return node;
  }

  growNodes() {
    for (const name of ["parent", "label"]) {
      const larger = new Int32Array(this.size * 2);
      larger.set(this[name]);
      this[name] = larger;
    }
  }

  growSlots() {
    const slots = new Int32Array(this.slots.length * 2);
    const mask = slots.length - 1;
    for (let node = 1; node < this.size; node += 1) {
      let slot = this.slotOf(this.parent[node], this.label[node]) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = node;
    }
    this.slots = slots;
  }
}

/** For each recorded stack, whether a frame of it matches. */
function nodesThatMatch(nodes, matching) {
  const keeps = new Uint8Array(nodes.parent.length);
  for (let node = 1; node < keeps.length; node += 1) {
    keeps[node] = keeps[nodes.parent[node]] | matching[nodes.place[node]];
  }
  return keeps;
}

/** The sites that pass the filters. With `byThread` those of one thread come together. */
function sitesThatPass({ sites, nodes }, filter, byThread) {
  const keeps = filter.matching && nodesThatMatch(nodes, filter.matching);
  const passing = [];
  for (let site = 0; site < sites.count; site += 1) {
    const passes = (filter.thread < 0 || sites.thread[site] === filter.thread)
      && (filter.kind < 0 || sites.kind[site] === filter.kind)
      && (!keeps || keeps[sites.node[site]]);
    if (passes) passing.push(site);
  }
  return byThread ? passing.sort((a, b) => sites.thread[a] - sites.thread[b]) : passing;
}

/** Finds the node of a stack, the outermost call first. */
function uprightResolver(nodes, hidden, table) {
  const mapped = new Int32Array(nodes.parent.length);
  const group = new Int32Array(nodes.parent.length).fill(-1);
  const path = [];
  return (leaf, thread, top) => {
    let node = leaf;
    for (; node > 0 && group[node] !== thread; node = nodes.parent[node]) path.push(node);
    let at = node > 0 ? mapped[node] : top;
    while (path.length) {
      node = path.pop();
      if (!hidden[nodes.place[node]]) at = table.child(at, nodes.place[node]);
      mapped[node] = at;
      group[node] = thread;
    }
    return at;
  };
}

/** Finds the node of a stack, the innermost call first. */
function invertedResolver(nodes, hidden, table) {
  const mapped = new Int32Array(nodes.parent.length);
  const group = new Int32Array(nodes.parent.length).fill(-1);
  return (leaf, thread, top) => {
    if (group[leaf] === thread) return mapped[leaf];
    let at = top;
    for (let node = leaf; node > 0; node = nodes.parent[node]) {
      if (!hidden[nodes.place[node]]) at = table.child(at, nodes.place[node]);
    }
    mapped[leaf] = at;
    group[leaf] = thread;
    return at;
  };
}

/** Puts the nodes in preorder; parents come before children in `table` already. */
function preordered(table, siteNode) {
  const count = table.size;
  const sizes = new Int32Array(count).fill(1);
  for (let node = count - 1; node > 0; node -= 1) sizes[table.parent[node]] += sizes[node];
  const position = new Int32Array(count);
  const next = new Int32Array(count).fill(1);
  const tree = {
    size: count, parent: new Int32Array(count).fill(-1), label: new Int32Array(count).fill(-1),
    end: new Int32Array(count), depth: new Int32Array(count), siteNode,
  };
  tree.end[0] = count;
  for (let node = 1; node < count; node += 1) {
    const parent = table.parent[node];
    const at = next[parent];
    next[parent] += sizes[node];
    next[node] = at + 1;
    position[node] = at;
    tree.parent[at] = position[parent];
    tree.label[at] = table.label[node];
    tree.end[at] = at + sizes[node];
    tree.depth[at] = tree.depth[position[parent]] + 1;
  }
  for (let site = 0; site < siteNode.length; site += 1) {
    if (siteNode[site] >= 0) siteNode[site] = position[siteNode[site]];
  }
  return tree;
}

/** Builds it. `shape`: `inverted`, `split`, `hidden` (by place), `thread`, `kind`, `matching`. */
function buildTree(model, shape) {
  const { nodes, sites } = model;
  const table = new NodeTable();
  const resolve = (shape.inverted ? invertedResolver : uprightResolver)(nodes, shape.hidden, table);
  const threadLabels = model.places.line.length;
  const siteNode = new Int32Array(sites.count).fill(-1);
  for (const site of sitesThatPass(model, shape, shape.split)) {
    const thread = shape.split ? sites.thread[site] : 0;
    const top = shape.split ? table.child(0, threadLabels + thread) : 0;
    siteNode[site] = resolve(sites.node[site], thread, top);
  }
  return preordered(table, siteNode);
}

/** The labels from the root down to a node. */
function pathOf(tree, node) {
  const path = [];
  for (let at = node; at > 0; at = tree.parent[at]) path.push(tree.label[at]);
  return path.reverse();
}

/** The node at the end of a path, as far as the tree has it. */
function nodeAt(tree, path, hidden) {
  let at = 0;
  for (const label of path) {
    let child = at + 1;
    while (child < tree.end[at] && tree.label[child] !== label) child = tree.end[child];
    if (child < tree.end[at]) at = child;
    else if (!hidden[label]) break;
  }
  return at;
}
