// The page: a request in, a result out, and what is drawn of it.

import * as client from "/page/client.js";
import { drawChoice, drawMemory, drawTimeline } from "/page/charts.js";
import { DagView, cellText } from "/page/dag.js";
import { drawDeploy } from "/page/deploy.js";
import { AXIS_NAMES, byId, css, h, ms, show, title } from "/page/dom.js";
import { Editor } from "/page/editor.js";
import { drawGpus } from "/page/gpus.js";
import { inspector, sayNode, tip } from "/page/inspect.js";
import { pack, readLink, unpack, writeLink } from "/page/permalink.js";
import { drawVerdict } from "/page/verdict.js";

const EXAMPLES = [
  "DeepSeek-V3 on 4x8 H200, 4k in, 1k out, TTFT under 2 s, TPOT under 50 ms",
  "Llama 3.1 70B on 2x8 H100, 4k in, 500 out, TTFT < 1 s, TPOT < 40 ms",
  "Llama 3.1 8B on 1x2 L40S, 1k in, 200 out, lowest latency",
  "DeepSeek-V3 on 1x8 A100, 4k in",
];
const ASK_BEFORE = 5_000;

const state = { text: "", run: null, result: null, picture: null, document: null, unfold: new Set(), collapse: null, findings: [], times: new Map(), edited: false };
let asking = null;

const view = new DagView(byId("canvas"), {
  select: inspectCell, hover: hoverCell, fold: toggleColumn, collapse: toggleBand, search: () => byId("find").focus(),
});
const editor = new Editor(byId("editor"), { onPicture: drawEdited, share: () => location.href });
editor.view = () => ({ unfold: [...state.unfold], collapse: collapsed(), concurrency: state.result?.estimate?.concurrency });

// --- asking ---

async function ask(text, { run = null } = {}) {
  if (!text.trim() && !run) { byId("request").focus(); return; }
  asking?.abort();
  asking = new AbortController();
  const mine = asking;
  Object.assign(state, { text, run, edited: false });
  state.unfold.clear();
  state.collapse = null;
  byId("request").value = text;
  writeLink({ q: text, run });
  waiting(true);
  byId("problem").hidden = true;
  const progress = show(byId("progress"));
  progress.classList.remove("done");
  step("Planning");
  try {
    const answer = run ? { result: await client.savedRun(run, mine.signal), run } : await client.plan(text, tellEvent, mine.signal);
    if (mine.signal.aborted) return;
    state.run = answer.run;
    progress.classList.add("done");
    await present(answer.result);
    writeLink({ q: text, run: state.run });
    byId("verdict").focus({ preventScroll: true });
  } catch (error) {
    if (error.name !== "AbortError") problem(error);
  } finally {
    if (asking === mine) waiting(false);
  }
}

function waiting(on) {
  byId("go").textContent = on ? "Planning…" : "Plan";
  document.body.classList.toggle("waiting", on);
  document.body.dataset.state = on ? "planning" : "settled";
  byId("result").setAttribute("aria-busy", String(on));
}

function step(text, tone = null) {
  byId("progress").append(h("li", { class: tone }, text));
}

// One line for each thing that the loop tells while it runs.
function tellEvent({ type, data }) {
  if (type === "understood") step(data.question ? `Unclear: ${data.question}` : `Understood: ${data.request?.model ?? "the request"}${data.assumptions?.length ? `, ${data.assumptions.length} assumptions` : ""}`);
  else if (type === "retrieved") step(`Read ${data.refs?.length ?? 0} sections of the knowledge base`);
  else if (type === "attempt") step(`Attempt ${data.number} by the ${data.proposer}: ${data.accepted ? "accepted" : data.outcome}${data.ms ? ` in ${ms(data.ms)}` : ""}`, data.accepted ? "ok" : null);
  else if (type === "findings") for (const finding of (data.findings ?? []).slice(0, 5)) step(`${finding.code} ${finding.message}`, finding.severity);
}

function problem(error) {
  const { document = {} } = error;
  byId("progress").hidden = true;
  show(byId("problem"), h("b", null, document.title ?? "That did not work"), h("p", null, error.message), document.hint ? h("p", { class: "fix" }, document.hint) : null, error.status === 401 ? keyForm() : null);
}

// For a service that lets nobody in without a key.
function keyForm() {
  const field = h("input", { type: "password", id: "key", autocomplete: "off" });
  const enter = (event) => {
    event.preventDefault();
    client.useKey(field.value.trim());
    ask(state.text, { run: state.run });
  };
  return h("form", { class: "askrow", onsubmit: enter }, h("label", { for: "key" }, "API key"), field, h("button", { type: "submit" }, "Use it"));
}

// --- showing ---

async function present(result) {
  Object.assign(state, { result, findings: result.report.findings, times: timesOf(result.estimate) });
  byId("result").hidden = false;
  byId("dag-section").hidden = !result.dag;
  for (const id of ["gpus", "memory", "timeline", "choice", "deploy"]) byId(id).hidden = true;
  if (result.dag) {
    state.document = JSON.stringify({ dag: result.dag, request: result.request });
    await redrawDag();
  }
  drawVerdict(byId("verdict"), result, { name: planName(result), onAsk: askChange, link: () => location.href, onFinding: goToFinding });
  drawSources(result);
  if (!result.dag) return;
  drawRest(result);
  drawDeploy(byId("deploy"), state.document, result.request?.engine).catch(problem);
  if (!byId("editor").hidden) await openEditor();
}

function drawRest(result) {
  const pools = state.picture.pools;
  drawGpus(byId("gpus"), pools, state.findings.filter((finding) => finding.path.startsWith("/strategy")));
  drawMemory(byId("memory"), pools, result.estimate);
  drawTimeline(byId("timeline"), result.estimate);
  drawChoice(byId("choice"), result, planName(result));
}

// As engineers say it: `2 replicas of TP4`, or pool by pool when disaggregated.
function planName(result) {
  const pools = result.dag ? state.picture.pools : [];
  return pools.length > 1 ? pools.map((pool) => `${pool.name} ${pool.summary}`).join(", ") : pools[0]?.summary ?? "";
}

function timesOf(estimate) {
  return new Map((estimate?.breakdown ?? []).map((share) => [`${share.phase}.${share.op}`, share]));
}

const timeOf = (node) => state.times.get(`${node.phase}.${node.block}.${node.id}`);
const findingsOf = (node) => state.findings.filter(({ path }) => path === node.pointer || path.startsWith(`${node.pointer}/`));

async function redrawDag(keepView = false) {
  const options = { unfold: [...state.unfold], collapse: collapsed(), concurrency: state.result?.estimate?.concurrency };
  const picture = await client.layout(state.edited ? editor.wrapped().text : state.document, options);
  usePicture(picture, keepView);
}

function usePicture(picture, keepView) {
  if (!picture.grid) return;
  state.picture = picture;
  view.setPicture(picture, keepView);
  if (!keepView) view.home();
  markFindings();
  drawLegend(picture);
  inspectCell(view.selected);
  const unfolded = state.unfold.has("all");
  byId("unfold").textContent = unfolded ? "Fold layers" : "Unfold layers";
  byId("unfold").setAttribute("aria-pressed", String(unfolded));
  byId("canvas").setAttribute("aria-label", `Strategy DAG: ${picture.grid.cells.x.length} nodes, ${picture.grid.edges.source.length} edges, ${picture.grid.bands.map((band) => `${band.phase} stage ${band.stage}`).join(", ")}`);
  search();
}

function markFindings() {
  const marks = new Map();
  for (const node of state.picture.nodes) {
    const worst = findingsOf(node).map((finding) => finding.severity);
    if (worst.length) marks.set(node.pointer, worst.includes("error") ? "error" : worst[0]);
  }
  view.setMarks(marks);
}

function drawLegend(picture) {
  const axes = new Set(picture.nodes.filter((node) => node.axis).map((node) => node.axis));
  byId("legend").replaceChildren(
    ...[...axes].map((axis) => h("li", { vars: { c: css(`axis-${axis}`) } }, `${axis} · ${AXIS_NAMES[axis]}`)),
    h("li", { class: "wire kvwire" }, "KV cache"), h("li", { class: "wire loopwire" }, "next step"),
  );
}

function drawSources(result) {
  if (!result.citations.length) { byId("sources").hidden = true; return; }
  show(byId("sources"), title("sources-title", "Read more"),
    h("ul", { class: "cites" }, result.citations.map((cite) => h("li", null, h("span", null, cite.title || cite.ref), h("code", null, cite.ref)))));
}

// --- nodes ---

function inspectCell(cell) {
  const grid = view.grid, node = cell === null || !grid ? null : view.nodeOf(cell);
  const column = node ? grid.columns[grid.cells.column[cell]] : null;
  const panel = byId("inspect");
  panel.hidden = !node;
  if (node) panel.replaceChildren(...inspector(node, column, timeOf(node), findingsOf(node), { toSource: () => showSource(node), close: () => view.select(null) }));
  byId("dag-says").textContent = node ? sayNode(node, column, timeOf(node)) : "";
}

function hoverCell(cell, x, y) {
  const box = byId("tip"), node = cell === null ? null : view.nodeOf(cell);
  box.hidden = !node;
  if (!node) return;
  box.replaceChildren(...tip(node, timeOf(node), findingsOf(node)).filter(Boolean));
  box.style.left = `${Math.min(x + 14, view.width - box.offsetWidth - 8)}px`;
  box.style.top = `${y + 18 + box.offsetHeight > view.height ? y - box.offsetHeight - 10 : y + 18}px`;
}

function goToFinding(finding) {
  const node = state.picture?.nodes.find(({ pointer }) => finding.path === pointer || finding.path.startsWith(`${pointer}/`));
  const cell = node ? view.cellOf(node.pointer, node.phase) : null;
  if (cell !== null) {
    byId("dag-section").scrollIntoView({ block: "start" });
    view.select(cell, { reveal: true, nearer: true });
    byId("canvas").focus({ preventScroll: true });
  } else if (finding.path.startsWith("/strategy") && !byId("gpus").hidden) {
    byId("gpus").scrollIntoView({ block: "center" });
  }
}

// --- folding ---

const collapsed = () => (state.collapse === null ? null : [...state.collapse]);

async function fold(change) {
  change();
  await redrawDag(true);
  writeLink({ q: state.text, run: state.run, dag: state.packed, unfold: state.unfold });
}

async function toggleColumn(column) {
  if (!column.foldable) return;
  const band = view.grid.bands[column.band].key;
  await fold(() => {
    if (state.unfold.has("all")) {
      state.unfold.delete("all");
      for (const other of view.grid.columns) if (other.foldable) state.unfold.add(other.key);
    }
    if (state.unfold.delete(column.key) || state.unfold.delete(band)) return;
    state.unfold.add(column.key);
  });
}

async function toggleBand(band) {
  await fold(() => {
    state.collapse ??= new Set(view.grid.bands.filter((other) => other.collapsed).map((other) => other.key));
    if (!state.collapse.delete(band.key)) state.collapse.add(band.key);
  });
}

async function toggleAll() {
  const opening = !state.unfold.has("all");
  const nodes = view.grid.columns.reduce((sum, column, i) => sum + view.inColumn[i].length * Math.max(1, column.end - column.first), 0);
  if (opening && nodes > ASK_BEFORE && !window.confirm(`This draws ${nodes.toLocaleString("en")} nodes. Go on?`)) return;
  state.unfold.clear();
  if (opening) state.unfold.add("all");
  await redrawDag();
  writeLink({ q: state.text, run: state.run, dag: state.packed, unfold: state.unfold });
}

// --- search ---

let hits = [], hit = -1;

function search() {
  const words = byId("find").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  hit = -1;
  hits = [];
  if (!words.length || !view.grid) { view.setMatches(null); byId("found").textContent = ""; return; }
  const texts = state.picture.nodes.map((node) => [node.id, node.op, cellText(node), node.block, node.phase, node.axis, ...Object.values(node.fields)].join(" ").toLowerCase());
  hits = view.grid.cells.template.flatMap((template, cell) => (template !== null && words.every((word) => texts[template].includes(word)) ? [cell] : []));
  view.setMatches(hits);
  byId("found").textContent = `${hits.length} found`;
}

function nextHit(event) {
  if (event.key === "Escape") { byId("find").value = ""; search(); byId("canvas").focus(); }
  if (event.key !== "Enter" || !hits.length) return;
  event.preventDefault();
  hit = (hit + (event.shiftKey ? hits.length - 1 : 1)) % hits.length;
  byId("found").textContent = `${hit + 1} of ${hits.length}`;
  view.select(hits[hit], { reveal: true, nearer: true });
}

// --- the document ---

async function openEditor() {
  const opening = byId("editor").hidden;
  byId("editor").hidden = false;
  byId("dag-section").classList.add("editing");
  byId("edit").setAttribute("aria-expanded", "true");
  byId("edit").textContent = "Close editor";
  if (opening || !state.edited) {
    const [file] = await client.exportFiles("yaml", state.document);
    await editor.open(file.text, state.result?.request ?? null);
  }
}

function closeEditor() {
  byId("editor").hidden = true;
  byId("dag-section").classList.remove("editing");
  byId("edit").setAttribute("aria-expanded", "false");
  byId("edit").textContent = "Edit";
}

async function showSource(node) {
  await openEditor();
  editor.goTo(editor.line(node.pointer));
}

// The picture follows the text; numbers of the plan stay until a new one is asked for.
async function drawEdited(picture, judged) {
  state.edited = true;
  state.findings = judged.findings;
  usePicture(picture, true);
  state.packed = await pack(editor.text);
  writeLink({ dag: state.packed, unfold: state.unfold });
}

async function openDocument(packed) {
  const text = await unpack(packed);
  Object.assign(state, { edited: true, packed, result: null, document: text });
  byId("result").hidden = false;
  byId("verdict").hidden = true;
  byId("dag-section").hidden = false;
  byId("editor").hidden = false;
  byId("dag-section").classList.add("editing");
  editor.area.value = text;
  editor.number();
  await editor.check(true);
  view.fit();
}

// --- the page itself ---

// The nearest request that fits, as a new request in words.
function askChange(change) {
  const cluster = change.change.cluster;
  let text = state.text;
  if (cluster?.hosts) {
    const size = `${cluster.hosts}x${cluster.gpus_per_host ?? state.result.request.cluster.gpus_per_host ?? 8}`;
    const gpu = cluster.gpu ?? state.result.request.cluster.gpu;
    text = /\d+\s*x\s*\d+\s*[\w-]+|\d+\s*x?\s*[A-Z]\w*\d+\w*/.test(text) ? text.replace(/\bon\s+[^,]+/i, `on ${size} ${gpu}`) : `${text}, on ${size} ${gpu}`;
  } else {
    text = `${text}, ${change.message.split(" (")[0]}`;
  }
  ask(text);
}

const THEMES = ["auto", "light", "dark"];
function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  byId("theme").setAttribute("aria-label", `Colour theme: ${theme === "auto" ? "as the system" : theme}`);
  try { localStorage.setItem("theme", theme); } catch { /* storage is off: the choice lasts until the page closes */ }
  recolour();
}

function recolour() {
  view.readColours();
  if (state.picture) drawLegend(state.picture);
}

function storedTheme() {
  try { return THEMES.find((theme) => theme === localStorage.getItem("theme")) ?? "auto"; } catch { return "auto"; }
}

function begin() {
  byId("examples").replaceChildren(...EXAMPLES.map((text) => h("li", null, h("button", { type: "button", onclick: () => ask(text) }, text))));
  byId("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(byId("request").value); });
  byId("request").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(byId("request").value); }
  });
  byId("theme").addEventListener("click", () => setTheme(THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  byId("find").addEventListener("input", search);
  byId("find").addEventListener("keydown", nextHit);
  byId("unfold").addEventListener("click", toggleAll);
  byId("zoom-in").addEventListener("click", () => view.zoom(1.3));
  byId("zoom-out").addEventListener("click", () => view.zoom(1 / 1.3));
  byId("fit").addEventListener("click", () => view.fit());
  byId("edit").addEventListener("click", () => (byId("editor").hidden ? openEditor() : closeEditor()));
  window.addEventListener("hashchange", followLink);
  setTheme(storedTheme());
  followLink();
  document.body.dataset.ready = "true";
}

async function followLink() {
  const link = readLink();
  try {
    if (link.dag) await openDocument(link.dag);
    else if (link.q || link.run) {
      await ask(link.q ?? "", { run: link.run });
      if (link.unfold.length && state.result?.dag) await fold(() => link.unfold.forEach((key) => state.unfold.add(key)));
    }
  } catch (error) {
    problem(error);
  }
}

begin();
