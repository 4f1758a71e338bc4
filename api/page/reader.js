// Sections of the knowledge base: titles that open to their text, and links from one to another.

import { section } from "/page/client.js";
import { h } from "/page/dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)/g;
const ITEM = /^\s*(?:[-*]|\d+\.)\s+/;

// A title that shows its section when it is opened first.
export function reading({ ref, title }) {
  const body = h("div", { class: "prose", "aria-live": "polite" });
  const shown = h("details", { class: "cite", ontoggle: () => { if (shown.open && !body.childElementCount) open(ref, body); } },
    h("summary", null, h("span", null, title || ref), h("code", null, ref)), body);
  return shown;
}

async function open(ref, body) {
  try {
    const found = await section(ref);
    body.replaceChildren(h("p", { class: "hint" }, found.page === found.title ? found.page : `${found.page} › ${found.title}`), ...blocks(found.text, (to) => open(around(to, found.ref), body)));
  } catch (error) {
    body.replaceChildren(h("p", { class: "hint" }, error.message));
  }
}

// A link of a page, seen from the section that it stands in.
function around(to, ref) {
  const [file, anchor] = to.split("#"), folder = ref.slice(0, ref.lastIndexOf("/") + 1);
  return `${file ? folder + file : ref.split("#")[0]}#${anchor ?? ""}`;
}

// Paragraphs, lists, tables and code of a Markdown text.
export function blocks(text, follow) {
  const found = [], lines = text.split("\n");
  const taken = (fits) => { const from = []; while (lines.length && fits(lines[0])) from.push(lines.shift()); return from; };
  while (lines.length) {
    const line = lines[0];
    if (!line.trim()) lines.shift();
    else if (line.startsWith("```")) { lines.shift(); found.push(h("pre", { tabindex: "0" }, h("code", null, taken((one) => !one.startsWith("```")).join("\n")))); lines.shift(); }
    else if (line.startsWith("|")) found.push(table(taken((one) => one.startsWith("|")), follow));
    else if (ITEM.test(line)) found.push(list(taken((one) => one.trim()), follow));
    else if (line.startsWith("#")) found.push(h("h3", null, inline(lines.shift().replace(/^#+\s*/, ""), follow)));
    else found.push(h("p", null, inline(taken((one) => one.trim() && !one.startsWith("|") && !one.startsWith("```") && !ITEM.test(one)).join(" "), follow)));
  }
  return found;
}

// A line that starts no item goes on with the one before.
function list(lines, follow) {
  const items = [];
  for (const line of lines) {
    if (ITEM.test(line)) items.push(line.replace(ITEM, ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return h(/^\s*\d/.test(lines[0]) ? "ol" : "ul", null, items.map((item) => h("li", null, inline(item, follow))));
}

function table(lines, follow) {
  const cells = (line) => line.replace(/^\||\|\s*$/g, "").split("|").map((cell) => inline(cell.trim(), follow));
  const [head, ...rest] = lines.filter((line) => !/^[|\s:-]+$/.test(line));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, h("table", null,
    h("thead", null, h("tr", null, cells(head).map((cell) => h("th", { scope: "col" }, cell)))),
    h("tbody", null, rest.map((line) => h("tr", null, cells(line).map((cell) => h("td", null, cell)))))));
}

function inline(text, follow) {
  const found = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, bold, label, to] = match;
    found.push(text.slice(at, match.index));
    at = match.index + whole.length;
    if (code) found.push(h("code", null, code));
    else if (bold) found.push(h("b", null, bold));
    else found.push(/\.md(#|$)|^#/.test(to) ? h("button", { type: "button", class: "link", onclick: () => follow(to) }, label) : label);
  }
  found.push(text.slice(at));
  return found;
}
