// Colours, for light and dark. Each is said in words too: in the legend, in tooltips and
// by signs.

const TONES = {
  light: {
    own: [28, 88, 70], package: [211, 68, 79], stdlib: [152, 38, 74], frozen: [268, 34, 83], none: [40, 8, 80], thread: [220, 12, 86],
    found: [312, 70, 78], grew: [6, 78, 76], shrank: [214, 74, 78], same: [40, 8, 88], step: -3, weak: 12,
    ink: "#1f2328", soft: "rgba(31,35,40,.62)", ring: "#1f2328", paper: "#ffffff",
  },
  dark: {
    own: [26, 62, 37], package: [212, 42, 38], stdlib: [158, 30, 31], frozen: [268, 20, 40], none: [40, 4, 35], thread: [220, 8, 31],
    found: [312, 48, 46], grew: [4, 52, 40], shrank: [214, 52, 42], same: [40, 4, 29], step: 3, weak: -10,
    ink: "#f4f4f5", soft: "rgba(244,244,245,.68)", ring: "#ffffff", paper: "#1d2024",
  },
};

const STRENGTHS = 8;
const theme = { name: "light", tones: TONES.light, shades: {}, css: {} };

function hsl([hue, saturation, lightness], offset = 0) {
  return `hsl(${hue} ${saturation}% ${lightness + offset}%)`;
}

/** The colour of a kind of file; neighbours differ a little. */
function kindColour(kind, label = 0) {
  return theme.shades[kind][label % 3];
}

/** The colour of a change: the larger its part of what there was, the stronger. */
function changeColour(after, before) {
  if (after === before) return theme.shades.same[0];
  const part = Math.min(1, Math.abs(after - before) / Math.max(Math.abs(after), Math.abs(before)));
  return theme.shades[after > before ? "grew" : "shrank"][Math.round(part * STRENGTHS)];
}

/** All colours of frames as the canvas takes them. */
function shadesOf({ step, weak, ink, soft, ring, paper, ...tones }) {
  const shades = {};
  for (const [name, tone] of Object.entries(tones)) shades[name] = [0, 1, 2].map((at) => hsl(tone, step * at));
  for (const name of ["grew", "shrank"]) {
    const [hue, saturation, lightness] = tones[name];
    shades[name] = Array.from({ length: STRENGTHS + 1 }, (_, strength) => {
      const part = strength / STRENGTHS;
      return hsl([hue, saturation * (0.45 + 0.55 * part), lightness], weak * (1 - part));
    });
  }
  return shades;
}

function rememberedTheme() {
  try {
    return localStorage.getItem("prof-theme");
  } catch {
    return null;
  }
}

function rememberTheme(name) {
  try {
    localStorage.setItem("prof-theme", name);
  } catch {
    // A page without storage follows the system.
  }
}

function applyTheme(name) {
  theme.name = name === "dark" ? "dark" : "light";
  theme.tones = TONES[theme.name];
  theme.shades = shadesOf(theme.tones);
  document.documentElement.dataset.theme = theme.name;
  const style = getComputedStyle(document.documentElement);
  for (const variable of ["ink", "dim", "line", "strong-line", "card", "accent", "heap", "heap-soft", "resident", "window", "sans", "warn"]) {
    theme.css[variable] = style.getPropertyValue(`--${variable}`).trim();
  }
}

/** Follows the system until somebody chooses. */
function startTheme(changed) {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  applyTheme(rememberedTheme() || (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => {
    if (rememberedTheme()) return;
    applyTheme(system.matches ? "dark" : "light");
    changed();
  });
  byId("theme").addEventListener("click", () => {
    applyTheme(theme.name === "dark" ? "light" : "dark");
    rememberTheme(theme.name);
    changed();
  });
}
