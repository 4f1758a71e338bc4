// The page: a request in, a result out, and what is drawn of it.

import { drawMemory, drawTimeline } from "/page/charts.js";
import { drawChoice } from "/page/choice.js";
import * as client from "/page/client.js";
import { drawDeploy } from "/page/deploy.js";
import { byId, h, show, title } from "/page/dom.js";
import { Editor } from "/page/editor.js";
import { drawGpus } from "/page/gpus.js";
import { beginGraph, fold, goToFinding, recolour, redrawDag, usePicture } from "/page/graph.js";
import { pack, readLink, unpack, writeLink } from "/page/permalink.js";
import * as progress from "/page/progress.js";
import { reading } from "/page/reader.js";
import { drawExamples, toggle as toggleExamples } from "/page/start.js";
import { collapsed, planName, state, timesOf } from "/page/state.js";
import { beginTheme } from "/page/theme.js";
import { drawVerdict } from "/page/verdict.js";

const PARTS = { verdict: "Result", "dag-section": "Graph", gpus: "GPUs", memory: "Memory", timeline: "Time", choice: "Alternatives", deploy: "Deploy", sources: "Sources" };

const NARROW = 700;
/* Width up to which examples would push a question out of sight. */

const GONE = new Set([404, 422]);
/* How the server says that it has no such run, or never could. */

let asking = null;

const editor = new Editor(byId("editor"), { onPicture: drawEdited, share: () => location.href });
editor.view = () => ({ unfold: [...state.unfold], collapse: collapsed(), concurrency: state.result?.estimate?.concurrency });

// --- asking ---

async function ask(text, { run = null } = {}) {
  if (!text.trim() && !run) { byId("request").focus(); return; }
  asking?.abort();
  asking = new AbortController();
  const mine = asking;
  Object.assign(state, { text, run, edited: false, packed: null, collapse: null });
  state.unfold.clear();
  byId("request").value = text;
  writeLink({ q: text, run }, !run);
  waiting(true);
  progress.begin(run ? "Fetching the plan" : "Reading the request");
  try {
    const answer = run ? await saved(run, text, mine.signal) : await client.plan(text, progress.tell, mine.signal);
    if (mine.signal.aborted) return;
    state.run = answer.run;
    await present(answer.result);
    progress.finish();
    writeLink({ q: text, run: state.run });
    byId("verdict").focus({ preventScroll: true });
  } catch (error) {
    if (asking === mine) failed(error, () => ask(text, { run }));
  } finally {
    if (asking === mine) waiting(false);
  }
}

// A run that this server no longer has is planned again, when its request is known.
async function saved(run, text, signal) {
  try {
    return await client.savedRun(run, progress.tell, signal);
  } catch (error) {
    if (!GONE.has(error.status) || !text) throw error;
    return client.plan(text, progress.tell, signal);
  }
}

function waiting(on) {
  byId("go").textContent = on ? "Stop" : "Plan";
  document.body.classList.toggle("waiting", on);
  document.body.dataset.state = on ? "planning" : "settled";
  byId("result").setAttribute("aria-busy", String(on));
  if (!on) performance.mark("settled");
}

function failed(error, again = null) {
  if (error.name === "AbortError") { progress.stop(); return; }
  progress.problem(error, { again, enterKey: (key) => { client.useKey(key); if (again) again(); } });
}

// --- showing ---

async function present(result) {
  Object.assign(state, { result, findings: result.report.findings, times: timesOf(result.estimate), picture: result.dag ? state.picture : null });
  document.body.dataset.view = "result";
  byId("result").hidden = false;
  byId("dag-section").hidden = !result.dag;
  toggleExamples(result.status === "needs_clarification" && innerWidth > NARROW);
  for (const id of ["gpus", "memory", "timeline", "choice", "deploy"]) byId(id).hidden = true;
  if (result.dag) state.document = JSON.stringify({ dag: result.dag, request: result.request });
  const drawn = result.dag ? redrawDag() : null;
  // What needs no picture is drawn while the server makes it.
  drawSources(result);
  if (result.dag) drawTimeline(byId("timeline"), result.estimate);
  await drawn;
  drawVerdict(byId("verdict"), result, {
    pools: state.picture?.pools ?? [], onAsk: askChange, onWords: addWords, link: () => location.href, onFinding: goToFinding,
    deploy: () => byId("deploy").scrollIntoView(),
  });
  if (result.dag) await presentPlan(result);
  else closeEditor();
  drawJump();
}

async function presentPlan(result) {
  const { pools } = state.picture;
  drawGpus(byId("gpus"), pools);
  drawMemory(byId("memory"), pools, result.estimate);
  drawChoice(byId("choice"), result, planName());
  drawDeploy(byId("deploy"), state.document, result.request?.engine).then(drawJump, failed);
  if (!byId("editor").hidden) await openEditor();
}

function drawSources({ citations }) {
  if (!citations.length) { byId("sources").hidden = true; return; }
  show(byId("sources"), title("sources-title", "Read more in the knowledge base"),
    h("ul", { class: "cites" }, citations.map((cite) => h("li", null, reading(cite)))));
}

// A way to each part of a long page; the one in view is marked.
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.dataset.seen = String(isIntersecting);
  const current = Object.keys(PARTS).find((id) => byId(id).dataset.seen === "true");
  for (const button of byId("jump").children) button.setAttribute("aria-current", String(button.dataset.to === current));
}, { rootMargin: "-60px 0px -55% 0px" });

function drawJump() {
  const shown = Object.keys(PARTS).filter((id) => !byId(id).hidden);
  byId("jump").hidden = shown.length < 3;
  byId("jump").replaceChildren(...shown.map((id) => h("button", { type: "button", "data-to": id, onclick: () => byId(id).scrollIntoView({ block: "start" }) }, PARTS[id])));
  seen.disconnect();
  for (const id of shown) seen.observe(byId(id));
}

// --- the document ---

async function openEditor() {
  const opening = byId("editor").hidden;
  showEditor();
  if (!opening && state.edited) return;
  const [file] = await client.exportFiles("yaml", state.document);
  await editor.open(file.text, state.result?.request ?? null);
}

function showEditor() {
  byId("editor").hidden = false;
  byId("dag-section").classList.add("editing");
  byId("edit").setAttribute("aria-expanded", "true");
  byId("edit").textContent = "Close editor";
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
  const first = !state.picture;
  state.edited = true;
  state.findings = judged.findings;
  usePicture(picture, !first);
  state.packed = await pack(editor.text);
  writeLink({ dag: state.packed, unfold: state.unfold });
}

// A document without a request: only the graph and its verdict.
async function openAlone(text, packed = null) {
  asking?.abort();
  Object.assign(state, { text: "", run: null, edited: true, packed, result: null, picture: null, document: text, findings: [], times: new Map(), collapse: null });
  document.body.dataset.view = "result";
  byId("result").hidden = false;
  for (const id of Object.keys(PARTS)) byId(id).hidden = id !== "dag-section";
  progress.stop();
  byId("problem").hidden = true;
  drawJump();
  showEditor();
  await editor.openAlone(text);
  waiting(false);
}

const openSample = async () => openAlone(await client.sample());

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

// What a question offers goes into the request: a whole one in its place, a part behind it.
function addWords(words) {
  const field = byId("request"), whole = /\son\s/.test(words);
  field.value = whole || !field.value.trim() ? words : `${field.value.trim()}, ${words}`;
  field.focus();
}

function askOrStop() {
  if (!document.body.classList.contains("waiting")) { ask(byId("request").value); return; }
  asking.abort();
  waiting(false);
}

function begin() {
  drawExamples(ask);
  byId("ask").addEventListener("submit", (event) => { event.preventDefault(); askOrStop(); });
  byId("request").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(byId("request").value); }
  });
  byId("edit").addEventListener("click", () => (byId("editor").hidden ? openEditor().catch(failed) : closeEditor()));
  byId("blank").addEventListener("click", () => openSample().catch(failed));
  beginGraph({ source: () => (state.edited ? editor.wrapped().text : state.document), show: (node) => showSource(node).catch(failed), failed });
  beginTheme(recolour);
  window.addEventListener("popstate", followLink);
  followLink();
  document.body.dataset.ready = "true";
  performance.mark("ready");
}

async function followLink() {
  const link = readLink();
  try {
    if (link.dag) await openAlone(await unpack(link.dag), link.dag);
    else if (link.q || link.run) {
      await ask(link.q ?? "", { run: link.run });
      if (link.unfold.length && state.result?.dag) await fold(() => link.unfold.forEach((key) => state.unfold.add(key)));
    } else showStart();
  } catch (error) {
    failed(error);
  }
}

function showStart() {
  asking?.abort();
  document.body.dataset.view = "start";
  byId("result").hidden = true;
  progress.stop();
  byId("problem").hidden = true;
}

begin();
