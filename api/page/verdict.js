// The answer in short: status, what was asked, headline numbers, why, what breaks, what was assumed, what was found.

import { copyButton, count, gb, h, ms, num, percent, show } from "/page/dom.js";

const WORDS = {
  valid: "Valid", infeasible: "Infeasible", needs_clarification: "One question", rejected: "Rejected",
};
const BY = { llm: "proposed by the language model", planner_fallback: "the planner's, since the language model gave no valid answer" };
const LIMITS = { memory: "Memory", ttft_ms: "TTFT", tpot_ms: "TPOT", request_rate: "Request rate", serving: "Serving" };
const CLOSEST = 3;

export function drawVerdict(section, result, { pools, onAsk, onWords, link, onFinding, deploy }) {
  const { estimate, proof, request, report } = result;
  show(
    section,
    h("div", { class: "headline" },
      h("span", { class: `status ${result.status}` }, WORDS[result.status] ?? result.status),
      h("h2", { id: "verdict-title" }, headline(result, pools)),
      h("span", { class: "space" }),
      result.dag && h("button", { type: "button", onclick: deploy }, "Deploy"), copyButton(link, "Copy link")),
    request && result.status !== "needs_clarification" && h("ul", { class: "asked", "aria-label": "As understood" }, asked(request).map((text) => h("li", null, text))),
    estimate && h("dl", { class: "numbers" }, numbers(estimate, proof, request?.slo ?? {}).map(number)),
    result.question && h("p", { class: "question" }, marked(result.question, (words) => h("button", { type: "button", title: "Put it into the request", onclick: () => onWords(words) }, words))),
    result.status === "rejected" && h("p", { class: "question" }, result.explanation),
    result.infeasible && infeasible(result, onAsk),
    h("div", { class: "two" }, estimate && reasons(result), found(report.findings, onFinding)),
    h("div", { class: "folds" },
      details("Assumptions", result.assumptions), attempts(result),
      result.explanation && result.status !== "rejected" && h("details", null, h("summary", null, "In words"), h("p", null, result.explanation))),
  );
}

function headline(result, pools) {
  if (pools.length) return pools.map((pool, i) => [i > 0 && h("span", { class: "sr" }, ", "), poolName(pool, pools.length > 1)]);
  if (result.status === "infeasible") return "Nothing on this hardware meets the request";
  return result.status === "needs_clarification" ? "Something is missing" : "No valid plan came out";
}

const DEGREES = {
  DPattn: "attention replicas that share the experts (attention data parallelism)", CP: "ranks that split the sequence (context parallelism)",
  TP: "ranks that split each matrix (tensor parallelism)", PP: "stages that hold consecutive layers (pipeline parallelism)",
  EP: "ranks that hold different experts (expert parallelism)", ETP: "ranks that split each expert (expert tensor parallelism)",
  EDP: "copies of the experts (expert data parallelism)", DCP: "ranks that split the cache by sequence in decode (decode context parallelism)",
};

// `DPattn16 x EP16` with what each degree means.
function poolName(pool, several) {
  const parts = pool.summary.split(/(\b[A-Za-z]+\d+\b| x )/).filter(Boolean);
  return h("span", { class: "pool" }, several && h("b", { class: pool.name }, pool.name), several && " ", parts.map((part) => {
    if (part === " x ") return h("span", { class: "times" }, " × ");
    const [, name, size] = /^([A-Za-z]+)(\d+)$/.exec(part) ?? [];
    return DEGREES[name] ? h("abbr", { title: `${size} ${DEGREES[name]}` }, part) : part;
  }));
}

// The request as it was understood, in the units people use.
function asked({ model, cluster, workload, slo = {}, precision, objective, engine }) {
  const hosts = cluster.hosts ?? 1, gpus = hosts * (cluster.gpus_per_host ?? 8);
  const load = workload.concurrency ? `${num(workload.concurrency)} in flight` : workload.request_rate ? `${num(workload.request_rate)} requests/s` : null;
  return [
    typeof model === "string" ? model : model?.name ?? "your model",
    `${num(gpus)} × ${typeof cluster.gpu === "string" ? cluster.gpu : cluster.gpu?.name ?? "GPU"}${hosts > 1 ? ` in ${num(hosts)} hosts` : ""}`,
    `${num(workload.isl)} tokens in, ${num(workload.osl)} out`, load,
    slo?.ttft_ms ? `TTFT ≤ ${ms(slo.ttft_ms)}` : null, slo?.tpot_ms ? `TPOT ≤ ${ms(slo.tpot_ms)}` : null,
    precision?.weights ? `${precision.weights} weights` : null, objective ? objective.replaceAll("_", " ") : null, engine ? `for ${engine}` : null,
  ].filter(Boolean);
}

// [label, value, unit, note, tone, share of a limit]
function numbers(e, proof, slo) {
  const memory = e.memory_gb.total / e.memory_gb.capacity;
  return [
    latency("TTFT", e.ttft_ms, slo?.ttft_ms), latency("TPOT", e.tpot_ms, slo?.tpot_ms),
    ["Throughput", num(e.tokens_per_s_per_gpu), "tokens/s/GPU", `${num(e.requests_per_s)} requests/s in all`],
    ["GPUs", num(e.gpus), "", `${count(e.concurrency, "request")} in flight`],
    ["Memory", num(100 * memory), "%", `${num(e.memory_gb.total)} of ${gb(e.memory_gb.capacity)} on the fullest`, memory <= 1 ? null : "bad", memory],
    proof && ["Proof", proof.passed ? "passed" : "failed", "", `${count(proof.ranks, "virtual rank")}, off by ${tiny(proof.max_abs_error)}`, proof.passed ? "good" : "bad"],
  ].filter(Boolean);
}

const tiny = (value) => (value ? `${value.toExponential(0).replace("e-", "·10⁻").replace(/\d+$/, (digits) => [...digits].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join(""))}` : "0");

function latency(label, value, limit) {
  const [amount, unit] = ms(value).split(" ");
  return [label, amount, unit, limit ? `limit ${ms(limit)}` : "no limit asked", limit ? (value <= limit ? "good" : "bad") : null, limit ? value / limit : null];
}

function number([label, value, unit, note, tone, share]) {
  return h("div", { class: tone }, h("dt", null, label), h("dd", null, value, unit && h("small", null, ` ${unit}`)),
    note && h("dd", { class: "sub" }, note),
    share !== null && share !== undefined && h("dd", { class: "sub", "aria-hidden": "true" }, h("i", { class: "meter", vars: { share: `${Math.min(100, 100 * share).toFixed(1)}%` } })));
}

// What binds the plan, and what the closest others would have given.
function reasons({ estimate, alternatives, origin }) {
  const [phase, ...cause] = estimate.bottleneck.split(":");
  return h("div", null, h("h3", null, "Why this one"), h("ul", { class: "reasons" },
    BY[origin] && h("li", null, h("b", null, "Origin"), ` ${BY[origin]}`),
    h("li", null, h("b", null, "Bound by"), ` ${[phase, cause.join(":").trim()].filter(Boolean).join(", ")}`),
    h("li", null, h("b", null, "Room"), ` KV cache for ${count(estimate.max_concurrency, "request")} at once, ${num(estimate.concurrency)} in flight`),
    alternatives.slice(0, CLOSEST).map((other) => h("li", null, "Not ", h("b", null, other.summary.replaceAll(" x ", " × ")), `: ${other.reason}`)),
    estimate.notes.map((note) => h("li", { class: "doubt" }, h("b", null, "Uncertain"), ` ${note}`))));
}

function infeasible(result, onAsk) {
  const { limits, nearest } = result.infeasible;
  return h("div", { class: "breaks" },
    h("div", null, h("h3", null, "What breaks"), h("ul", null, limits.map((limit) => h("li", { class: "limit" }, h("b", null, LIMITS[limit.name] ?? limit.name), h("span", null, limit.message), needed(limit))))),
    nearest.length ? h("div", null, h("h3", null, "What would fit"), h("ul", null, nearest.map((change) => h("li", null,
      h("button", { type: "button", class: "fit", onclick: () => onAsk(change) }, change.message, change.verified ? h("small", { class: "ok" }, "Planned and checked. Click to see it.") : h("small", null, "Not planned yet. Click to try.")))))) : null);
}

// Two bars: what is needed and what there is.
function needed({ required, available, unit }) {
  if (required === null || available === null) return null;
  const full = Math.max(required, available);
  const bar = (value, over) => h("i", { class: over ? "over" : null, "aria-hidden": "true", vars: { share: `${(100 * value / full).toFixed(1)}%` } });
  return h("div", { class: "need" }, h("span", null, "needed"), bar(required, required > available), h("span", null, `${num(required)} ${unit}`), h("span", null, "available"), bar(available, false), h("span", null, `${num(available)} ${unit}`));
}

function found(findings, onFinding) {
  if (!findings.length) return null;
  return h("div", null, h("h3", null, "Findings"), h("ul", { class: "findings", "aria-label": "Findings" }, findings.map((finding) => h("li", { class: finding.severity },
    h("button", { type: "button", class: "finding", onclick: () => onFinding(finding) },
      h("b", null, finding.code, h("span", { class: "sr" }, ` ${finding.severity}`)), h("span", null, finding.message), finding.hint && h("span", { class: "fix" }, finding.hint), h("code", null, finding.path || "/"))))));
}

// Text with its `code` set apart.
function marked(text, made = (code) => h("code", null, code)) {
  return text.split("`").map((part, i) => (i % 2 ? made(part) : part));
}

function details(name, lines) {
  if (!lines.length) return null;
  return h("details", null, h("summary", null, `${name} (${lines.length})`), h("ul", null, lines.map((line) => h("li", null, marked(line)))));
}

function attempts(result) {
  if (result.attempts.length < 2) return null;
  return h("details", null, h("summary", null, `Attempts (${result.attempts.length})`), h("ol", null, result.attempts.map((attempt) =>
    h("li", null, `${attempt.proposer}: ${attempt.outcome}, ${count(attempt.findings.filter((f) => f.severity === "error").length, "error")}, ${ms(attempt.ms)}`))));
}
