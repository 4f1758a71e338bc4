// The answer in short: status, headline numbers, why, what was assumed, what was found.

import { copyButton, h, ms, num, percent, show } from "/page/dom.js";

const WORDS = {
  valid: "Valid", infeasible: "Infeasible", needs_clarification: "One question", rejected: "Rejected",
};

export function drawVerdict(section, result, { name, onAsk, link, onFinding }) {
  const { estimate, proof, request } = result;
  show(
    section,
    h("div", { class: "headline" },
      h("span", { class: `status ${result.status}` }, WORDS[result.status] ?? result.status),
      h("h2", { id: "verdict-title" }, headline(result, name)),
      h("span", { class: "space" }), copyButton(link, "Copy link")),
    estimate && h("dl", { class: "numbers" }, numbers(estimate, proof, request?.slo ?? {}).map(([label, value, note, tone]) =>
      h("div", { class: tone }, h("dt", null, label), h("dd", null, value), note && h("dd", { class: "sub" }, note)))),
    result.question && h("p", { class: "question" }, result.question),
    result.explanation && result.status !== "infeasible" && h("p", { class: "why" }, result.explanation),
    result.infeasible && infeasible(result, onAsk),
    findings(result.report.findings, onFinding),
    details("Assumptions", result.assumptions),
    details("Uncertainty", estimate?.notes ?? []),
    attempts(result),
  );
}

function headline(result, name) {
  if (result.status === "valid" || result.strategy) return name;
  if (result.status === "infeasible") return "Nothing on this hardware meets the request";
  return result.status === "needs_clarification" ? "Something is missing" : "No valid plan came out";
}

function numbers(e, proof, slo) {
  const within = (value, limit) => (limit ? (value <= limit ? "good" : "bad") : null);
  const against = (limit) => (limit ? `of ${ms(limit)}` : "no limit");
  return [
    ["TTFT", ms(e.ttft_ms), against(slo.ttft_ms), within(e.ttft_ms, slo.ttft_ms)],
    ["TPOT", ms(e.tpot_ms), against(slo.tpot_ms), within(e.tpot_ms, slo.tpot_ms)],
    ["Tokens/s/GPU", num(e.tokens_per_s_per_gpu), `${num(e.requests_per_s)} requests/s`],
    ["GPUs", num(e.gpus), `${num(e.concurrency)} requests in flight`],
    ["Memory", percent(e.memory_gb.total / e.memory_gb.capacity), `${num(e.memory_gb.total)} of ${num(e.memory_gb.capacity)} GB`, e.memory_gb.total <= e.memory_gb.capacity ? null : "bad"],
    ["Bottleneck", e.bottleneck.split(":")[0], e.bottleneck.split(":").slice(1).join(":").trim() || null],
    proof && ["Proof", proof.passed ? "passed" : "failed", `${num(proof.ranks)} virtual ranks, error ${proof.max_abs_error.toExponential(0)}`, proof.passed ? "good" : "bad"],
  ].filter(Boolean);
}

function infeasible(result, onAsk) {
  const { limits, nearest } = result.infeasible;
  return h("div", { class: "breaks" },
    h("h3", null, "What breaks"), h("ul", null, limits.map((limit) => h("li", null, h("b", null, limit.name), ` ${limit.message}`))),
    nearest.length ? [h("h3", null, "What would fit"), h("ul", null, nearest.map((change) => h("li", null,
      h("button", { type: "button", class: "link", onclick: () => onAsk(change) }, change.message), change.verified ? h("span", { class: "ok" }, " planned and checked") : null)))] : null);
}

export function findings(found, onFinding) {
  if (!found.length) return null;
  return h("ul", { class: "findings", "aria-label": "Findings" }, found.map((finding) => h("li", { class: finding.severity },
    h("button", { type: "button", class: "finding", onclick: () => onFinding(finding) },
      h("b", null, finding.code), h("span", null, finding.message), h("span", { class: "fix" }, finding.hint), h("code", null, finding.path || "/")))));
}

function details(name, lines) {
  if (!lines.length) return null;
  return h("details", null, h("summary", null, `${name} (${lines.length})`), h("ul", null, lines.map((line) => h("li", null, line))));
}

function attempts(result) {
  if (result.attempts.length < 2) return null;
  return h("details", null, h("summary", null, `Attempts (${result.attempts.length})`), h("ol", null, result.attempts.map((attempt) =>
    h("li", null, `${attempt.proposer}: ${attempt.outcome}, ${attempt.findings.filter((f) => f.severity === "error").length} errors, ${ms(attempt.ms)}`))));
}
