// The first answers: what each view holds, in words.

function viewCard(view, amount, more) {
  return el(
    "button",
    { type: "button", class: "view", "data-view": view, "aria-pressed": "false", onclick: () => chooseView(view) },
    el("span", { class: "name" }, VIEWS[view].name),
    el("span", { class: "amount" }, amount),
    el("span", { class: "more" }, more),
  );
}

function chooseView(view) {
  if (view === "time" && !app.model.time) return;
  change({ view });
}

/** Whether frees may have been missed, so that leaks are upper bounds. */
function hasGaps() {
  return app.model.recordings.some((recording) => (recording.gaps || []).length > 0);
}

function cardTexts(view) {
  const { model } = app;
  const [bytes, blocks, before] = viewColumns(model, view, false).map(sumOf);
  const amount = `${view === "leaks" && hasGaps() ? "≤ " : ""}${bytesText(bytes)}`;
  if (model.isComparison) return [amount, `${changeWords(bytes - before)} (was ${bytesText(before)})`];
  const within = model.temporaryWithin;
  return [amount, {
    peak: () => `held ${momentText(model.recording.peak_time_ns)} after the start`,
    leaks: () => `never freed: ${pluralText(blocks, "block")}`,
    temporary: () => `freed within ${within === 1 ? "one allocation" : pluralText(within, "allocation")}`,
    allocations: () => `in ${pluralText(blocks, "block")}, freed or not`,
  }[view]()];
}

function changeWords(change) {
  const sign = change > 0 ? "▲ " : change < 0 ? "▼ " : "";
  return change === 0 ? "as before" : sign + signedText(change, bytesText);
}

function renderCards() {
  const cards = ["peak", "leaks", "temporary", "allocations"].map((view) => viewCard(view, ...cardTexts(view)));
  if (app.model.time) cards.push(viewCard("time", "", "drag over the plot"));
  fill(byId("views"), ...cards);
  byId("views").style.gridTemplateColumns = `repeat(${cards.length}, minmax(0, 1fr))`;
}

function syncCards() {
  for (const card of byId("views").children) {
    card.setAttribute("aria-pressed", String(card.dataset.view === app.state.view));
  }
  const time = byId("views").querySelector("[data-view=time]");
  if (!time) return;
  time.querySelector(".amount").textContent = app.state.window ? windowText() : "any window";
  time.querySelector(".more").textContent = app.state.window ? "of the recording" : "drag over the plot";
}

/** The view's amount as a sentence; `total` is in the measure's unit already. */
function sentence(bytes, blocks) {
  const { model, state } = app;
  if (!bytes && !blocks) return [nothingText()];
  const held = [el("strong", {}, bytesText(bytes)), ` in ${pluralText(blocks, "block")}`];
  const window = model.time && windowOf(model, state);
  const [from, to] = window ? windowTimes(model, window).map(momentText) : [];
  const sentences = {
    peak: () => ["At the high-water mark, ", momentText(model.recording.peak_time_ns), " after the start, the program held ", ...held, "."],
    leaks: () => [...held, ` ${blocks === 1 ? "was" : "were"} allocated ${state.late ? "after the last gap" : "while recording"} and not freed by its end${hasGaps() && !state.late ? " (at most)" : ""}.`],
    temporary: () => [...held, ` ${blocks === 1 ? "was" : "were"} freed within ${pluralText(model.temporaryWithin, "further allocation")} of their thread.`],
    allocations: () => [...held, ` ${blocks === 1 ? "was" : "were"} allocated in all, freed or not.`],
    held: () => [`Between ${from} and ${to} the heap was largest at about ${momentText(peakBin(model.time, window) * model.time.binNs)}: the program then held `, ...held, "."],
    kept: () => [`Between ${from} and ${to} the program allocated `, ...held, " that it did not free in that time."],
  };
  return sentences[state.view === "time" ? state.shows : state.view]();
}

/** Where two moments or recordings are compared. */
function changeSentence() {
  const { model, state, values } = app;
  const change = changeOf(values, 0);
  const net = el("strong", { class: change > 0 ? "grew" : change < 0 ? "shrank" : "" }, changeText(change));
  const text = amountText(state.measure);
  const ends = `: from ${text(values.before.total[0])} to ${text(values.after.total[0])}.`;
  if (model.isComparison) return [`${VIEWS[state.view].name}, after against before: `, net, ends];
  const [from, to] = windowTimes(model, windowOf(model, state)).map(momentText);
  return [`Between ${from} and ${to} what is held changed by `, net, ends];
}

/** Names the line that has most of it. */
function mostOfIt() {
  const [largest] = largestRows();
  if (!largest || largest.row.id < 0) return [];
  const { row, amount } = largest;
  const at = app.places.at(app.places.grouping("place").example[row.id]);
  const open = el("button", { type: "button", onclick: () => selectNode(widestNode("place", row.id)) }, el("bdi", {}, `${shorten(row.name, 80)}${at ? ` (${shorten(at, 80)})` : ""}`));
  const size = app.upright.before ? changeText(amount) : shareText(amount, app.upright.after.total[0]);
  return [app.upright.before ? " The largest change: " : " The largest part: ", open, `, ${size}.`];
}

function filterSentence() {
  if (!filterCount()) return "";
  const whole = sumOf(app.values.siteColumns[0]);
  const passing = sumIn(app.tree, app.values.siteColumns[0]);
  return ` The filters leave ${bytesText(passing)} of ${bytesText(whole)} (${shareText(passing, whole)}).`;
}

/** `isBrief` while a window is dragged: what needs a look at every row follows later. */
function renderHeadline(isBrief) {
  const { values } = app;
  const first = values.before ? changeSentence() : sentence(...values.siteColumns.map((column) => sumIn(app.tree, column)));
  fill(byId("headline"), ...first, ...(isBrief ? [] : mostOfIt()), filterSentence());
}

function gapBanner() {
  const { model, state } = app;
  const isBound = state.view === "leaks" || (state.view === "time" && state.shows !== "held");
  if (!hasGaps() || !isBound) return null;
  const gaps = model.recordings.flatMap((recording) => recording.gaps || []);
  const frees = gaps.reduce((sum, gap) => sum + (gap[3] || 0), 0);
  const text = `Events were lost in ${pluralText(gaps.length, "gap")}${frees ? `, among them ${pluralText(frees, "free")}` : ""}: what is shown as kept may have been freed, so these amounts are upper bounds.`;
  const box = el("input", { type: "checkbox", id: "late", onchange: (event) => change({ late: event.target.checked }) });
  box.checked = state.late;
  const canSwitch = state.view === "leaks" && model.sites.late_bytes;
  return el("div", { class: "banner" }, el("span", {}, `⚠ ${text}`), canSwitch && el("label", {}, box, "Only what was allocated after the last gap"));
}

function renderBanners() {
  const hints = app.model.recordings.flatMap((recording) => [recording.estimates, recording.small_objects]).filter(Boolean);
  const banners = [...new Set(hints)].map((hint) => el("div", { class: "banner" }, el("span", {}, `ⓘ ${plain(hint).replace(/`/g, "")}`)));
  const hadFocus = document.activeElement?.id === "late";
  fill(byId("banners"), gapBanner(), ...banners);
  if (hadFocus) byId("late")?.focus();
}
