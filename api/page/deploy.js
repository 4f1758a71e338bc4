// Files that serve the plan, one tab a target.

import { Problem, exportFiles, formats } from "/page/client.js";
import { copyButton, h, num, show, tabs, title } from "/page/dom.js";

const LABELS = {
  vllm: "vLLM", sglang: "SGLang", trtllm: "TensorRT-LLM", ray: "Ray Serve", dynamo: "Dynamo", "llm-d": "llm-d", yaml: "YAML", json: "JSON",
  mermaid: "Mermaid", dot: "DOT", graphml: "GraphML", npz: "npz", chakra: "Chakra", perfetto: "Perfetto", pftrace: "Perfetto protobuf",
};
const ORDER = ["vllm", "sglang", "trtllm", "ray", "dynamo", "llm-d", "yaml", "json", "perfetto", "pftrace", "chakra", "mermaid", "dot", "graphml", "npz"];
const FIRST_DOCUMENT = "yaml";
const MAX_SHOWN = 60_000, MAX_TINTED = 20_000;

let known = null;

export async function drawDeploy(section, text, engine) {
  known ??= (await formats()).sort((a, b) => rank(a.name) - rank(b.name));
  const made = new Map();
  const shown = tabs("Targets", known.map((format) => ({ id: format.name, label: LABELS[format.name] ?? format.name, hint: format.summary, apart: format.name === FIRST_DOCUMENT })), open);
  async function open(entry, panel) {
    panel.replaceChildren(h("p", { class: "hint" }, "Writing…"));
    if (!made.has(entry.id)) made.set(entry.id, await files(entry.id, text));
    if (panel.getAttribute("aria-labelledby") === `tab-${entry.id}`) panel.replaceChildren(h("p", { class: "hint" }, entry.hint[0].toUpperCase() + entry.hint.slice(1)), ...made.get(entry.id)());
  }
  show(section, title("deploy-title", "Deploy and export"), shown.list, shown.panel);
  shown.select(Math.max(0, known.findIndex((format) => format.name === engine)));
}

const rank = (name) => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1);

// A function that makes the elements of a target's files anew, or of why there are none.
async function files(format, text) {
  try {
    const found = await exportFiles(format, text);
    return () => (found.length > 1 ? fileTabs(format, found) : [fileView(found[0])]);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const { detail, hint } = error.document;
    return () => [h("div", { class: "note warning" }, h("b", null, error.status === 422 ? "Cannot be expressed. " : "Not written. "), detail ?? error.message, hint ? h("p", null, hint) : null)];
  }
}

function fileTabs(format, found) {
  const shown = tabs("Files", found.map((file, index) => ({ id: `${format}-${index}`, label: file.name, file })), (entry, panel) => panel.replaceChildren(fileView(entry.file)));
  shown.list.classList.add("small");
  shown.select(0);
  return [shown.list, shown.panel];
}

function fileView(file) {
  const blob = () => file.blob ?? new Blob([file.base64 ? Uint8Array.from(atob(file.base64), (c) => c.charCodeAt(0)) : file.text], { type: file.media_type });
  const save = h("button", { type: "button", class: "copy", onclick: () => download(blob(), file.name) }, "Download");
  const head = h("div", { class: "filehead" }, h("code", null, file.name), h("span", { class: "space" }), file.text !== undefined ? copyButton(() => file.text) : null, save);
  if (file.text === undefined) return h("div", { class: "file" }, head);
  const cut = file.text.length > MAX_SHOWN;
  return h("div", { class: "file" }, head,
    h("pre", { tabindex: "0", role: "region", "aria-label": file.name }, h("code", null, cut ? `${file.text.slice(0, MAX_SHOWN)}\n… ${num(file.text.length - MAX_SHOWN)} more characters in the download` : tinted(file))));
}

// Comments step back in scripts and YAML, flags step forward.
function tinted({ name, text }) {
  if (!/\.(sh|ya?ml)$/.test(name) || text.length > MAX_TINTED) return text;
  return text.split(/(^[ \t]*#.*$|(?<=\s)--[\w-]+)/m).map((part, i) => (i % 2 ? h("span", { class: part.startsWith("--") ? "flag" : "rem" }, part) : part));
}

function download(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
