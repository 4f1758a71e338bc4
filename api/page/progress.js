// What the loop tells while it runs, a line for each step, and what went wrong when it could not.

import { byId, count, h, ms, show } from "/page/dom.js";

const TICK_MS = 200;
const SHOWN_FINDINGS = 5;
let started = 0, ticking = null;

export function begin(doing) {
  started = performance.now();
  show(byId("progress")).classList.remove("done");
  byId("problem").hidden = true;
  busy(doing);
}

export function finish() {
  idle();
  byId("progress").classList.add("done");
  byId("progress").hidden = !byId("progress").children.length;
}

export function stop() {
  idle();
  byId("progress").hidden = true;
}

// The step that is being worked on, with the time since the request was sent.
function busy(text) {
  idle();
  const clock = h("time", { "aria-hidden": "true" });
  const line = h("li", { class: "busy" }, h("span", null, text), clock);
  byId("progress").append(line);
  const tick = () => { clock.textContent = `${((performance.now() - started) / 1000).toFixed(1)} s`; };
  tick();
  ticking = { line, timer: setInterval(tick, TICK_MS) };
}

function idle() {
  if (!ticking) return;
  clearInterval(ticking.timer);
  ticking.line.remove();
  ticking = null;
}

function step(text, tone = "ok") {
  byId("progress").append(h("li", { class: tone }, h("span", null, text)));
}

export function tell({ type, data }) {
  const told = LINES[type]?.(data);
  if (!told) return;
  idle();
  for (const [text, tone] of told.lines) step(text, tone);
  if (told.next) busy(told.next);
}

const LINES = {
  understood: (data) => ({ lines: [data.question ? [`Unclear: ${data.question}`, "warning"] : [understood(data)]], next: data.question ? null : "Reading" }),
  retrieved: (data) => ({ lines: [[`Read ${count(data.refs?.length ?? 0, "section")} of the knowledge base`]], next: "Searching and proving" }),
  attempt: (data) => ({
    lines: [[`Attempt ${data.number} by the ${proposer(data.proposer)}: ${outcome(data)}${data.ms ? ` in ${ms(data.ms)}` : ""}`, data.accepted ? "ok" : "error"]],
    next: data.accepted ? "Pricing and explaining" : "Repairing",
  }),
  findings: (data) => ({ lines: (data.findings ?? []).slice(0, SHOWN_FINDINGS).map((finding) => [`${finding.code} ${finding.message}`, finding.severity]), next: "Going on" }),
};

const outcome = ({ accepted, outcome: came }) => (accepted ? "accepted" : came === "candidate" ? "not accepted" : came);
const proposer = (name) => (name === "llm" ? "language model" : name);

function understood({ request, assumptions = [] }) {
  const model = typeof request?.model === "string" ? request.model : request?.model?.name ?? "the request";
  return `Understood: ${model}${assumptions.length ? `, ${count(assumptions.length, "assumption")}` : ""}`;
}

// --- what went wrong ---

const TITLES = { 0: "The server does not answer", 401: "An API key is needed", 404: "Not found", 413: "The request is too large", 429: "Too many requests", 503: "The server is busy", 504: "It took too long" };

// `again` repeats what failed; `enterKey` takes the key of a service that lets nobody in without one.
export function problem(error, { again, enterKey }) {
  const { document = {}, status = null, retryAfter = null } = error;
  stop();
  const wait = retryAfter ?? (status === 429 || status === 503 ? 5 : null);
  show(byId("problem"), h("b", null, TITLES[status] ?? document.title ?? "That did not work"), error.message ? h("p", null, error.message) : null,
    ...pointed(document), document.hint ? h("p", { class: "fix" }, document.hint) : null,
    status === 401 ? keyForm(enterKey) : again ? h("div", { class: "acts" }, retryButton(again, wait)) : null);
}

// Where in the request it is wrong, when the server says so.
function pointed({ errors = [], detail = "" }) {
  return errors.slice(0, 3).filter((one) => one.detail && !detail.includes(one.detail)).map((one) => h("p", { class: "fix" }, h("code", null, one.pointer || "/"), ` ${one.detail}`));
}

function retryButton(again, wait) {
  const button = h("button", { type: "button", onclick: again }, "Try again");
  let left = wait ?? 0;
  const tick = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left > 0) setTimeout(() => { left -= 1; tick(); }, 1000);
  };
  tick();
  return button;
}

function keyForm(enterKey) {
  const field = h("input", { type: "password", id: "key", autocomplete: "off" });
  const enter = (event) => { event.preventDefault(); enterKey(field.value.trim()); };
  return h("form", { class: "acts", onsubmit: enter }, h("label", { for: "key" }, "API key"), field, h("button", { type: "submit" }, "Use it"));
}
