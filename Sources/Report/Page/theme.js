"use strict";
// Light and dark, and white paper in print.

/** The colours in force, read from the style. */
const theme = {
  name: "light",
  colours: {},
  listeners: [],
  /** Okabe and Ito's colours, told apart by people who do not see red and green apart. */
  series: [],

  /** Puts a theme in force and has everything drawn again. */
  use(name) {
    document.documentElement.dataset.theme = name;
    this.name = name;
    const style = getComputedStyle(document.documentElement);
    for (const each of ["paper", "ink", "quiet", "line", "accent", "mark", "undefined", "halo"]) {
      this.colours[each] = style.getPropertyValue(`--${each}`).trim();
    }
    this.series = name === "dark"
      ? ["#56b4e9", "#e69f00", "#2cc295", "#f0e442", "#e08fc0", "#ff7f4d", "#d0d0d0"]
      : ["#0072b2", "#d55e00", "#00795a", "#8a6d00", "#b0558c", "#2c7fb8", "#444444"];
    this.listeners = this.listeners.filter(({ element }) => !element || element.isConnected);
    for (const { action } of this.listeners) action();
  },

  /** Calls an action when the theme changes; if an element is named, as long as it is in the page. */
  listen(action, element = null) {
    this.listeners.push({ action, element });
  },
};

/** Connects the switch, the system's preference and printing. */
function setUpTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const choice = byId("theme");
  try {
    choice.value = localStorage.getItem("attntrace-theme") ?? "auto";
  } catch {
    choice.value = "auto"; // Pages from disk may be kept from storing anything: then the system decides.
  }
  const chosen = () => (choice.value === "auto" ? (dark.matches ? "dark" : "light") : choice.value);
  choice.addEventListener("change", () => {
    try {
      localStorage.setItem("attntrace-theme", choice.value);
    } catch {
      // As above: the choice holds until the page is left.
    }
    theme.use(chosen());
  });
  dark.addEventListener("change", () => theme.use(chosen()));
  // Canvases are drawn anew at the width of paper: what is drawn for the window would only be squeezed.
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    theme.use("light");
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    theme.use(chosen());
  });
  theme.use(chosen());
}
