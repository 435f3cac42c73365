// The same view as rows: sortable, searchable, a hundred on a page.

const ROWS_OF_A_PAGE = 100;
const BY_NAMES = { place: "Line", function: "Function", file: "File", module: "Module", thread: "Thread", kind: "Allocator" };

/** A column of numbers: what to sort by, and how to show it. */
function numberColumn(key, name, value, text, mark) {
  return { key, name, value, text: (row) => text(value(row), row), mark, isNumber: true };
}

/** The names of the two moments or recordings that are compared. */
function momentNames() {
  return app.model.isComparison ? ["before", "after"] : ["at begin", "at end"];
}

function columnsOf(state, values) {
  const index = state.measure === "blocks" ? 1 : 0;
  const brief = state.measure === "blocks" ? countText : bytesText;
  const columns = [{ key: "name", name: BY_NAMES[state.by], value: (row) => row.name.toLowerCase(), text: (row) => row.name }];
  if (state.split && state.by !== "thread") {
    columns.push({ key: "thread", name: "Thread", value: (row) => row.thread, text: (row) => (row.thread < 0 ? "" : app.places.threadName(row.thread)), isWords: true });
  }
  columns.push(...(values.before ? changeColumns(index, brief) : plainColumns(index, brief, values)));
  if (state.by !== "kind") {
    columns.push({ key: "kinds", name: "Allocators", value: (row) => kindsText(row), text: (row) => kindsText(row), isWords: true });
  }
  return columns;
}

function kindsText(row) {
  return row.kinds.map((kind) => app.model.kinds[kind]).join(", ");
}

function plainColumns(index, brief, values) {
  const whole = values.after.total[0];
  const share = (amount) => shareText(amount, whole);
  const other = index === 0 ? ["Blocks", countText] : ["Bytes", bytesText];
  return [
    numberColumn("own", "Own", (row) => row.own[index], brief, (row) => row.own[index] / whole),
    numberColumn("share", "Own %", (row) => row.own[index], share),
    numberColumn("total", "With calls", (row) => row.total[index], brief),
    numberColumn("part", "With calls %", (row) => row.total[index], share),
    numberColumn("other", other[0], (row) => row.own[1 - index], other[1]),
  ];
}

function changeColumns(index, brief) {
  const [before, after] = momentNames();
  const signed = (change) => `${change > 0 ? "▲ " : change < 0 ? "▼ " : ""}${signedText(change, brief)}`;
  const difference = (part) => (row) => row[part][index] - row[part][index + BEFORE];
  return [
    numberColumn("change", "Difference", difference("own"), signed),
    numberColumn("before", `Own ${before}`, (row) => row.own[index + BEFORE], brief),
    numberColumn("own", `Own ${after}`, (row) => row.own[index], brief),
    numberColumn("part", "With calls", difference("total"), signed),
    numberColumn("total", `With calls ${after}`, (row) => row.total[index], brief),
  ];
}

/** The rows in order, as far as they match the search. */
function sortedRows(columns) {
  const { state } = app;
  const [key, direction] = (state.sort || (app.upright.before ? "change:down" : "own:down")).split(":");
  const column = columns.find((candidate) => candidate.key === key) || columns[0];
  const sign = direction === "up" ? 1 : -1;
  const { matches } = matcherOf(state.search);
  const rows = rowsOf(state.by, state.split).filter((row) => !matches || matches(`${row.name}\n${row.detail}`));
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  rows.sort((a, b) => sign * compare(column.value(a), column.value(b)) || compare(a.name, b.name));
  return { rows, column, sign };
}

function headCell(column, sorted, sign) {
  const isSorted = column.key === sorted.key;
  const button = el("button", {
    type: "button",
    onclick: () => change({ sort: `${column.key}:${isSorted ? (sign < 0 ? "up" : "down") : column.isNumber ? "down" : "up"}` }, { replace: true }),
  }, `${column.name}${isSorted ? (sign < 0 ? " ↓" : " ↑") : ""}`);
  return el("th", { scope: "col", class: column.isWords && "words", "aria-sort": isSorted ? (sign < 0 ? "descending" : "ascending") : "none" }, button);
}

function nameCell(row) {
  const { by } = app.state;
  const isCode = by !== "thread" && by !== "kind" && by !== "module";
  return el(
    "td",
    { class: "place" },
    el("button", { type: "button", onclick: () => openRow(row) }, el("bdi", {}, shorten(row.name))),
    row.detail && el("span", { class: "detail" }, el("bdi", {}, shorten(row.detail)), isCode && row.fileKind ? ` · ${KIND_NAMES[row.fileKind]}` : ""),
  );
}

function bodyCell(column, row) {
  if (column.key === "name") return nameCell(row);
  const text = column.text(row);
  const tone = text.startsWith("▲") ? " grew" : text.startsWith("▼") ? " shrank" : "";
  const cell = el("td", { class: (column.isWords ? "words" : "") + tone }, text);
  if (column.mark) {
    const meter = el("i", { class: "meter" });
    meter.style.width = `${Math.min(100, 100 * column.mark(row))}%`;
    cell.append(meter);
  }
  return cell;
}

/** What a click on a row does: a place is selected, anything else becomes a filter. */
function openRow(row) {
  const { by } = app.state;
  if (by === "thread") change({ thread: row.id });
  else if (by === "kind") change({ kind: row.id });
  else if ((by === "file" || by === "module") && row.id >= 0) change({ only: row.name === NO_STACK ? "" : row.name, by: "place" });
  else selectNode(row.id < 0 ? 0 : widestNode(by, row.id));
}

function renderTable() {
  const columns = columnsOf(app.state, app.upright);
  const { rows, column: sorted, sign } = sortedRows(columns);
  const pages = Math.max(1, Math.ceil(rows.length / ROWS_OF_A_PAGE));
  const page = Math.min(Math.max(0, app.state.page), pages - 1);
  app.shownRows = rows.slice(page * ROWS_OF_A_PAGE, (page + 1) * ROWS_OF_A_PAGE);
  fill(
    byId("table"),
    el("thead", {}, el("tr", {}, ...columns.map((column) => headCell(column, sorted, sign)))),
    el("tbody", {}, ...app.shownRows.map((row) => el("tr", {}, ...columns.map((column) => bodyCell(column, row))))),
  );
  byId("table-count").textContent = rowCountText(rows);
  byId("pager").hidden = pages < 2;
  byId("page-text").textContent = `${countText(page * ROWS_OF_A_PAGE + 1)}–${countText(Math.min(rows.length, (page + 1) * ROWS_OF_A_PAGE))} of ${countText(rows.length)}`;
  byId("page-back").disabled = page === 0;
  byId("page-on").disabled = page + 1 >= pages;
}

function rowCountText(rows) {
  const text = pluralText(rows.length, "row");
  if (!app.upright.before) return text;
  const index = app.state.measure === "blocks" ? 1 : 0;
  const grew = rows.filter((row) => row.own[index] > row.own[index + BEFORE]).length;
  const shrank = rows.filter((row) => row.own[index] < row.own[index + BEFORE]).length;
  return `${text}: ${countText(grew)} grew, ${countText(shrank)} shrank`;
}

function startTable() {
  byId("by").addEventListener("change", (event) => change({ by: event.target.value, sort: "" }));
  byId("page-back").addEventListener("click", () => change({ page: app.state.page - 1 }, { replace: true }));
  byId("page-on").addEventListener("click", () => change({ page: app.state.page + 1 }, { replace: true }));
  byId("table-csv").addEventListener("click", () => download(csvName("table"), "text/csv", tableCsv()));
}
