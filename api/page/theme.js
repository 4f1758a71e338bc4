// Light, dark, or as the system; kept until it is changed.

import { byId } from "/page/dom.js";

const THEMES = ["auto", "light", "dark"];

function stored() {
  try { return THEMES.find((theme) => theme === localStorage.getItem("theme")) ?? "auto"; } catch { return "auto"; }
}

function set(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  byId("theme").setAttribute("aria-label", `Colour theme: ${theme === "auto" ? "as the system" : theme}`);
  try { localStorage.setItem("theme", theme); } catch { /* storage is off: the choice lasts until the page closes */ }
}

// `changed` is told whenever other colours hold.
export function beginTheme(changed) {
  let theme = stored();
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    set(theme);
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  set(theme);
}
