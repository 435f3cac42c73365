// What the names of places say: which kind of file, which module, and which frames are
// seldom wanted. A label is a place, or (from `places` on) a thread.

const KIND_NAMES = {
  own: "your code",
  package: "installed package",
  stdlib: "standard library",
  frozen: "interpreter (frozen)",
  none: "no Python file",
  thread: "thread",
};

const NO_STACK = "(no Python stack)";
const HIDDEN_FRAMES = "(hidden frames)";
const IMPORT_FILE = /^<frozen (importlib|zipimport)|(^|\/)importlib\/(__init__|_bootstrap|_bootstrap_external|_abc|abc|machinery|util)\.py$/;
const RUNPY_FILE = /^<frozen runpy>$|(^|\/)runpy\.py$/;
const THREADING_FILE = /(^|\/)threading\.py$/;
const STDLIB_FILE = /(^|\/)(lib|lib64|Lib)\/python3?[.\d]*t?\/|(^|\/)python3\d*\.zip\//;
const PACKAGE_FILE = /(^|\/)(site|dist)-packages\//;

function kindOfFile(file) {
  if (file === "") return "none";
  if (file.startsWith("<frozen ")) return "frozen";
  if (PACKAGE_FILE.test(file)) return "package";
  return STDLIB_FILE.test(file) ? "stdlib" : "own";
}

function isImport(file) {
  return IMPORT_FILE.test(file);
}

function isIrrelevant(name, file) {
  if (RUNPY_FILE.test(file)) return true;
  return THREADING_FILE.test(file) && /(^|\.)_bootstrap(_inner)?$/.test(name);
}

/** The module's dotted name, as far as the file's path tells it. */
function moduleOf(file) {
  const frozen = /^<frozen (.+)>$/.exec(file);
  if (frozen) return frozen[1];
  const library = /.*\/(?:(?:site|dist)-packages|python3?[.\d]*t?)\/(.+)$/.exec(file);
  const path = library ? library[1] : baseName(file) === "__init__.py" ? file.split("/").slice(-2).join("/") : baseName(file);
  return path.replace(/\.[a-z]+$/, "").replace(/\/__init__$/, "").replace(/\//g, ".") || file;
}

/** Gives equal texts one id. */
function grouping(count, textOf) {
  const ids = new Map();
  const of = new Int32Array(count);
  const example = [];
  for (let at = 0; at < count; at += 1) {
    const text = textOf(at);
    if (!ids.has(text)) {
      ids.set(text, ids.size);
      example.push(at);
    }
    of[at] = ids.get(text);
  }
  return { of, example, count: example.length };
}

/** Facts about the places, found once and on demand. */
class Places {
  constructor(model) {
    this.model = model;
    this.count = model.places.line.length;
    this.kinds = model.strings.map(() => null);
    this.texts = new Array(this.count);
    this.groupings = {};
  }

  isThread(label) {
    return label >= this.count;
  }

  name(label) {
    if (label < 0) return "all";
    if (this.isThread(label)) return this.threadName(label - this.count);
    return this.model.strings[this.model.places.function[label]] || "(no name)";
  }

  threadName(index) {
    const thread = this.model.threads[index];
    if (!thread.tid) return thread.name || "(thread without a name)";
    return thread.name ? `${thread.name} (${thread.tid})` : `thread ${thread.tid}`;
  }

  file(label) {
    return label < 0 || this.isThread(label) ? "" : this.model.strings[this.model.places.file[label]];
  }

  line(label) {
    return label < 0 || this.isThread(label) ? 0 : this.model.places.line[label];
  }

  /** As `service.py:29`; empty if there is no file. */
  at(label, whole = false) {
    const file = this.file(label);
    const line = this.line(label);
    return file && `${whole ? file : baseName(file)}${line ? `:${line}` : ""}`;
  }

  kind(label) {
    if (label < 0 || this.isThread(label)) return "thread";
    const file = this.model.places.file[label];
    this.kinds[file] = this.kinds[file] || kindOfFile(this.model.strings[file]);
    return this.kinds[file];
  }

  module(place) {
    return this.file(place) ? moduleOf(this.file(place)) : NO_STACK;
  }

  sourceLine(label, line = this.line(label)) {
    if (label < 0 || this.isThread(label)) return null;
    const text = (this.model.source[this.model.places.file[label]] || {})[line];
    return text == null ? null : plain(String(text).replace(/\t/g, "    "));
  }

  /** What a search looks at. */
  searched(place) {
    this.texts[place] = this.texts[place] || `${this.name(place)}\n${this.at(place, true)}\n${this.module(place)}`;
    return this.texts[place];
  }

  /** Which places belong together: by `function`, `place`, `file` or `module`. */
  grouping(by) {
    const { places } = this.model;
    const texts = {
      function: (at) => `${places.function[at]} ${places.file[at]}`,
      place: (at) => at,
      file: (at) => places.file[at],
      module: (at) => `${this.module(at)} ${this.kind(at)}`,
    };
    this.groupings[by] = this.groupings[by] || grouping(this.count, texts[by]);
    return this.groupings[by];
  }

  /** For each place, whether its frames are to be left out. */
  hidden(imports, irrelevant) {
    const hidden = new Uint8Array(this.count);
    for (let place = 0; place < this.count; place += 1) {
      const file = this.file(place);
      const hides = (imports && isImport(file)) || (irrelevant && isIrrelevant(this.name(place), file));
      hidden[place] = hides ? 1 : 0;
    }
    return hidden;
  }

  /** For each place, whether `matches` holds; `null` if there is nothing to match. */
  matching(matches) {
    if (!matches) return null;
    return Uint8Array.from({ length: this.count }, (_, place) => (matches(this.searched(place)) ? 1 : 0));
  }
}

/** What was typed, as a test: text anywhere in it, or `/a regular expression/`. */
function matcherOf(typed) {
  const wanted = typed.trim();
  if (!wanted) return { matches: null, error: null };
  const expression = /^\/(.*)\/([imsu]*)$/s.exec(wanted);
  if (!expression) {
    const lower = wanted.toLowerCase();
    return { matches: (text) => text.toLowerCase().includes(lower), error: null };
  }
  try {
    const compiled = new RegExp(expression[1], expression[2].includes("i") ? expression[2] : `${expression[2]}i`);
    return { matches: (text) => compiled.test(text), error: null };
  } catch (error) {
    return { matches: () => false, error: String(error.message) };
  }
}
