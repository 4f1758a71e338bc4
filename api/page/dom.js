// Elements and numbers. Text from the server only ever becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, v] of Object.entries(value)) element.style.setProperty(`--${key}`, v);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const byId = (id) => document.getElementById(id);

export function show(element, ...children) {
  element.replaceChildren(...children.flat(3).filter(Boolean));
  element.hidden = false;
  return element;
}

export function title(id, text, ...more) {
  return h("div", { class: "bar" }, h("h2", { id }, text), ...more);
}

const plain = new Map();
function formatter(digits) {
  if (!plain.has(digits)) plain.set(digits, new Intl.NumberFormat("en", { maximumFractionDigits: digits }));
  return plain.get(digits);
}

// Three significant digits, and no more than people read.
export function num(value) {
  const size = Math.abs(value);
  return formatter(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4).format(value);
}

function scaled(value, units, step) {
  let index = 0;
  while (Math.abs(value) >= step && index < units.length - 1) { value /= step; index += 1; }
  return `${num(value)} ${units[index]}`;
}

export const bytes = (value) => scaled(value, ["B", "kB", "MB", "GB", "TB"], 1000);
export const flops = (value) => scaled(value, ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"], 1000);
export const percent = (share) => `${num(100 * share)} %`;
export const gb = (value) => `${num(value)} GB`;
export const count = (n, one, many = `${one}s`) => `${num(n)} ${n === 1 ? one : many}`;

export function ms(value) {
  if (value >= 1000) return `${num(value / 1000)} s`;
  return value >= 0.1 || value === 0 ? `${num(value)} ms` : `${num(value * 1000)} µs`;
}

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
export const AXES = ["tp", "cp", "dp", "dcp", "ep", "moe_tp", "moe_dp", "stage"];
export const AXIS_NAMES = {
  tp: "tensor", cp: "context", dp: "attention data", dcp: "decode context", ep: "expert",
  moe_tp: "expert tensor", moe_dp: "expert data", stage: "whole stage",
};

export function copyButton(read, label = "Copy") {
  const button = h("button", { type: "button", class: "copy", onclick: copy }, label);
  async function copy() {
    const text = read();
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      selectAndCopy(text);
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1600);
  }
  return button;
}

// Where the clipboard API is missing (plain http on another host).
function selectAndCopy(text) {
  const area = h("textarea", { class: "sr", "aria-hidden": "true", tabindex: "-1" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// Arrow keys move between the tabs of a list, as the ARIA pattern has it.
export function tabs(label, entries, open) {
  const list = h("div", { role: "tablist", "aria-label": label, class: "tabs" });
  const panel = h("div", { role: "tabpanel", tabindex: "0", class: "tabpanel" });
  const buttons = entries.map((entry, index) => h("button", {
    type: "button", role: "tab", id: `tab-${entry.id}`, "aria-selected": "false", tabindex: "-1", title: entry.hint, class: entry.apart ? "first" : null,
    onclick: () => select(index), onkeydown: (event) => move(event, index),
  }, entry.label));
  function select(index) {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === index));
      button.tabIndex = i === index ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", buttons[index].id);
    open(entries[index], panel);
  }
  function move(event, index) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1
      : step ? (index + step + buttons.length) % buttons.length : null;
    if (next === null) return;
    event.preventDefault();
    select(next);
    buttons[next].focus();
  }
  list.append(...buttons);
  return { list, panel, select };
}
