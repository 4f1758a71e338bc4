// The panel of the DAG: its picture, what is folded, found, selected and hovered, and its legend.

import * as client from "/page/client.js";
import { DagView, markKey } from "/page/dag.js";
import { AXIS_NAMES, byId, count, css, h, num } from "/page/dom.js";
import { inspector, sayNode, tip } from "/page/inspect.js";
import { cellText } from "/page/paint.js";
import { writeLink } from "/page/permalink.js";
import { collapsed, concerns, findingsOf, state, timeOf } from "/page/state.js";

const ASK_BEFORE = 5_000;
const WORST = ["error", "warning", "info"];

// `source` gives the document that is drawn, `show` opens it at a node, `failed` tells what went wrong.
let listeners = { source: () => state.document, show: () => {}, failed: () => {} };

const view = new DagView(byId("canvas"), {
  select: inspectCell, hover: hoverCell, search: () => byId("find").focus(),
  fold: (column) => guarded(toggleColumn(column)), collapse: (band) => guarded(toggleBand(band)),
});

const guarded = (work) => work.catch((error) => listeners.failed(error));

export async function redrawDag(keepView = false) {
  const options = { unfold: [...state.unfold], collapse: collapsed(), concurrency: state.result?.estimate?.concurrency };
  usePicture(await client.layout(listeners.source(), options), keepView);
}

export function usePicture(picture, keepView) {
  if (!picture.grid) return;
  state.picture = picture;
  view.setPicture(picture, shares(picture.nodes), keepView);
  if (!keepView) view.home();
  markFindings();
  drawLegend();
  inspectCell(view.selected);
  const unfolded = state.unfold.has("all");
  byId("unfold").textContent = unfolded ? "Fold layers" : "Unfold layers";
  byId("unfold").setAttribute("aria-pressed", String(unfolded));
  byId("heat").hidden = !state.times.size;
  byId("canvas").setAttribute("aria-label", `Strategy DAG: ${picture.grid.cells.x.length} nodes, ${picture.grid.edges.source.length} edges, ${picture.grid.bands.map((band) => `${band.phase} stage ${band.stage}`).join(", ")}`);
  search();
}

// The share of each node in the time of the slowest node of its phase.
function shares(nodes) {
  const slowest = {};
  for (const node of nodes) slowest[node.phase] = Math.max(slowest[node.phase] ?? 0, timeOf(node)?.ms ?? 0);
  return (node) => (timeOf(node)?.ms ?? 0) / (slowest[node.phase] || 1);
}

export function markFindings() {
  const marks = new Map();
  for (const node of state.picture.nodes) {
    const severities = findingsOf(node).map((finding) => finding.severity);
    if (severities.length) marks.set(markKey(node), WORST.find((severity) => severities.includes(severity)));
  }
  view.setMarks(marks);
}

function drawLegend() {
  const axes = new Set(state.picture.nodes.filter((node) => node.axis && (node.kind === "communication" || node.op === "step_sync")).map((node) => node.axis));
  const handed = state.picture.grid.edges.route.includes("link");
  byId("legend").replaceChildren(
    ...[...axes].map((axis) => h("li", { vars: { c: css(`axis-${axis}`) } }, `${axis} · ${AXIS_NAMES[axis]}`)),
    ...(handed ? [h("li", { class: "wire" }, "KV cache"), h("li", { class: "wire loopwire" }, "next step")] : []),
    ...(state.times.size ? [h("li", { class: "timebar" }, "time in a pass")] : []),
  );
}

export function recolour() {
  view.readColours();
  if (state.picture?.grid) drawLegend();
}

// --- nodes ---

function inspectCell(cell) {
  const grid = view.grid, node = cell === null || !grid ? null : view.nodeOf(cell);
  const column = node ? grid.columns[grid.cells.column[cell]] : null;
  const panel = byId("inspect");
  panel.hidden = !node;
  if (node) panel.replaceChildren(...inspector(node, column, timeOf(node), findingsOf(node), { toSource: () => listeners.show(node), close: () => { view.select(null); byId("canvas").focus({ preventScroll: true }); } }));
  byId("dag-says").textContent = node ? sayNode(node, column, timeOf(node)) : "";
}

function hoverCell(cell, x, y) {
  const box = byId("tip"), node = cell === null ? null : view.nodeOf(cell);
  box.hidden = !node;
  if (!node) return;
  box.replaceChildren(...tip(node, timeOf(node), findingsOf(node)).filter(Boolean));
  box.style.left = `${Math.max(4, Math.min(x + 14, view.width - box.offsetWidth - 8))}px`;
  box.style.top = `${y + 18 + box.offsetHeight > view.height ? Math.max(4, y - box.offsetHeight - 10) : y + 18}px`;
}

// The node that a finding is about comes into view; the GPUs do where it is about no node.
export function goToFinding(finding) {
  const node = state.picture?.nodes.find((one) => concerns(finding, one));
  const cell = node ? view.cellOf(node.pointer, node.phase) : null;
  if (cell !== null) {
    byId("dag-section").scrollIntoView({ block: "start" });
    view.select(cell, { reveal: true, nearer: true });
    byId("canvas").focus({ preventScroll: true });
  } else if (!byId("gpus").hidden) {
    byId("gpus").scrollIntoView({ block: "center" });
  }
}

// --- folding ---

export async function fold(change) {
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
  if (!view.grid) return;
  const opening = !state.unfold.has("all");
  const nodes = view.grid.columns.reduce((sum, column, i) => sum + view.inColumn[i].length * Math.max(1, column.end - column.first), 0);
  if (opening && nodes > ASK_BEFORE && !window.confirm(`This draws ${num(nodes)} nodes. Go on?`)) return;
  state.unfold.clear();
  if (opening) state.unfold.add("all");
  await redrawDag();
  writeLink({ q: state.text, run: state.run, dag: state.packed, unfold: state.unfold });
}

function toggleHeat() {
  view.setHeat(!view.heat);
  byId("heat").setAttribute("aria-pressed", String(view.heat));
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
  byId("found").textContent = `${num(hits.length)} found`;
}

function nextHit(event) {
  if (event.key === "Escape") { byId("find").value = ""; search(); byId("canvas").focus(); }
  if (event.key !== "Enter" || !hits.length) return;
  event.preventDefault();
  hit = (hit + (event.shiftKey ? hits.length - 1 : 1)) % hits.length;
  byId("found").textContent = `${hit + 1} of ${count(hits.length, "match", "matches")}`;
  view.select(hits[hit], { reveal: true, nearer: true });
}

export function beginGraph(given) {
  listeners = given;
  byId("find").addEventListener("input", search);
  byId("find").addEventListener("keydown", nextHit);
  byId("unfold").addEventListener("click", () => guarded(toggleAll()));
  byId("heat").addEventListener("click", toggleHeat);
  byId("zoom-in").addEventListener("click", () => view.zoom(1.3));
  byId("zoom-out").addEventListener("click", () => view.zoom(1 / 1.3));
  byId("fit").addEventListener("click", () => view.fit());
}
