// What can be taken along: the plot and the table as CSV.

/** A cell. Text that a spreadsheet would take for a formula gets an apostrophe. */
function csvCell(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

function csvText(rows) {
  return rows.map((row) => `${row.map(csvCell).join(",")}\r\n`).join("");
}

function csvName(what) {
  return `${baseName(app.model.recording.file || "prof").replace(/[^\w.-]+/g, "_").replace(/\.prof$/, "")}-${what}.csv`;
}

/** A row a bin: its time, the most heap in it, and the last sample of the resident set. */
function plotCsv() {
  const { time, resident } = app.model;
  if (!time) return csvText([["time_ns", "resident_bytes"], ...[...(resident.ns || [])].map((ns, at) => [ns, resident.bytes[at]])]);
  const rows = [["time_ns", "heap_bytes", "resident_bytes"]];
  for (let bin = 0; bin < time.bins; bin += 1) rows.push([bin * time.binNs, time.heap[bin], residentAt((bin + 1) * time.binNs)]);
  return csvText(rows);
}

const AMOUNT_COLUMNS = ["bytes", "blocks", "before_bytes", "before_blocks"];

/** All rows of the table, with plain numbers. */
function tableCsv() {
  const { rows } = sortedRows(columnsOf(app.state, app.upright));
  const amounts = AMOUNT_COLUMNS.slice(0, app.upright.siteColumns.length);
  const isSplit = app.state.split && app.state.by !== "thread";
  const head = [app.state.by, "where", ...(isSplit ? ["thread"] : []), ...amounts.map((name) => `own_${name}`), ...amounts.map((name) => `total_${name}`), "allocators"];
  return csvText([head, ...rows.map((row) => [
    row.name,
    row.detail,
    ...(isSplit ? [row.thread < 0 ? "" : app.places.threadName(row.thread)] : []),
    ...row.own,
    ...row.total,
    kindsText(row),
  ])]);
}
