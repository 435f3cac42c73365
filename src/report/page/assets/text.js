// Numbers and names for people. Everything that comes from the recorded program may be
// hostile: it passes `plain` before anybody sees it.

const BYTE_UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const MINUS = "\u2212";
const LONGEST_NAME = 300;

/** As `1.5 MiB`; below 1 KiB in bytes. */
function bytesText(bytes) {
  const sign = bytes < 0 ? MINUS : "";
  const size = Math.abs(bytes);
  if (size < 1024) return `${sign}${Math.round(size)} B`;
  let value = size / 1024;
  let unit = 0;
  while (value >= 1023.95 && unit + 1 < BYTE_UNITS.length) {
    value /= 1024;
    unit += 1;
  }
  return `${sign}${value.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

/** As `1,234,567`. */
function countText(count) {
  const digits = String(Math.round(Math.abs(count))).replace(/\B(?=(\d{3})+$)/g, ",");
  return count < 0 ? MINUS + digits : digits;
}

/** As `1 block` or `2,000 blocks`. */
function pluralText(count, thing) {
  return `${countText(count)} ${thing}${count === 1 ? "" : "s"}`;
}

/** With its sign, as `+1.5 MiB`. */
function signedText(change, text) {
  return change > 0 ? `+${text(change)}` : text(change);
}

/** As `81.2 %`. */
function shareText(part, whole) {
  if (!whole || !part) return "0 %";
  const share = Math.abs(100 * part / whole);
  if (share < 0.05) return "< 0.1 %";
  return `${share > 99.95 ? "100" : share.toFixed(1)} %`;
}

/** As `12.3 s`, `4.5 ms` or `2 min 5 s`. */
function durationText(nanos) {
  if (nanos < 1e6) return nanos ? `${(nanos / 1e3).toFixed(1)} µs` : "0 s";
  if (nanos < 1e9) return `${(nanos / 1e6).toFixed(1)} ms`;
  if (nanos < 120e9) return `${(nanos / 1e9).toFixed(1)} s`;
  const seconds = Math.floor(nanos / 1e9);
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}

/** Amounts in the unit of the measure that is shown. */
function amountText(measure) {
  return measure === "blocks" ? (count) => pluralText(count, "block") : bytesText;
}

// Controls, marks without a glyph (bidirectional overrides among them), halves of
// surrogate pairs, line separators.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
// Accents upon accents reach into other rows.
const PILED_MARKS = /(\p{M}{3})\p{M}+/gu;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|[\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** The text with everything invisible written out as `\u{…}`, and few accents on a letter. */
function plain(text) {
  return String(text)
    .replace(INVISIBLE, (mark) => `\\u{${mark.codePointAt(0).toString(16)}}`)
    .replace(PILED_MARKS, "$1…");
}

/** At most `length` characters of it; an ellipsis says where some were left out. */
function shorten(text, length = LONGEST_NAME) {
  if (text.length <= length) return text;
  const head = Math.ceil((length - 1) * 0.6);
  return `${text.slice(0, head)}…${text.slice(text.length - (length - 1 - head))}`;
}

/** For a canvas: text that runs from right to left does not turn its neighbours around. */
function isolated(text) {
  return RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text;
}

function baseName(file) {
  return file.slice(file.lastIndexOf("/") + 1);
}
