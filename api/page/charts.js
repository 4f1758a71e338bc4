// Memory against capacity, one pass in time, and the Pareto front.

import { h, ms, num, percent, s, show, title } from "/page/dom.js";

// --- memory ---

const PARTS = [["weights", "weights"], ["kv", "KV cache"], ["activations", "activations"], ["other", "other"]];

export function drawMemory(section, pools, estimate) {
  const stages = pools.flatMap((pool) => pool.memory_gb.map((memory, stage) => ({ pool, stage, memory })));
  const bars = stages.length ? stages : estimate ? [{ pool: null, stage: 0, memory: estimate.memory_gb }] : [];
  if (!bars.length) { section.hidden = true; return; }
  const full = Math.max(...bars.map(({ memory }) => Math.max(memory.total, memory.capacity)));
  show(
    section,
    title("memory-title", "Memory of the fullest GPU"),
    h("ul", { class: "legend static" }, PARTS.map(([part, label]) => h("li", { class: `m-${part}` }, label))),
    h("div", { class: "bars" }, alike(bars).map((bar) => memoryBar(bar, full, pools.length > 1, bars.length > 1))),
    estimate && h("p", { class: "hint" }, `KV room for ${num(estimate.max_concurrency)} requests at once; ${num(estimate.concurrency)} in flight at this point.`),
  );
}

// Stages in a row that hold the same share one bar.
function alike(bars) {
  const found = [];
  for (const bar of bars) {
    const last = found.at(-1);
    if (last && last.pool === bar.pool && PARTS.every(([part]) => num(last.memory[part]) === num(bar.memory[part]))) last.until = bar.stage;
    else found.push({ ...bar, until: bar.stage });
  }
  return found;
}

function memoryBar({ pool, stage, until, memory }, full, several, staged) {
  const stages = until > stage ? `stages ${stage}–${until}` : `stage ${stage}`;
  const name = [several && pool ? pool.name : null, staged ? stages : null].filter(Boolean).join(" · ");
  const told = PARTS.map(([part, label]) => `${label} ${num(memory[part])} GB`).join(", ");
  return h("div", { class: "membar" },
    name && h("span", { class: "barname" }, name),
    h("div", { class: "track", role: "img", "aria-label": `${name ? `${name}: ` : ""}${told}; ${num(memory.total)} of ${num(memory.capacity)} GB`, vars: { capacity: percentage(memory.capacity / full) } },
      PARTS.map(([part, label]) => h("span", { class: `part m-${part}`, title: `${label} ${num(memory[part])} GB`, vars: { share: percentage(memory[part] / full) } })),
      h("span", { class: "cap" })),
    h("span", { class: "mono" }, `${num(memory.total)} / ${num(memory.capacity)} GB`));
}

const percentage = (share) => `${(100 * share).toFixed(3)}%`;

// --- timeline ---

const KINDS = ["compute", "memory", "communication", "other"];
const LANE = 26;

export function drawTimeline(section, estimate) {
  if (!estimate?.breakdown.length) { section.hidden = true; return; }
  const phases = ["prefill", "decode"].map((phase) => [phase, estimate.breakdown.filter((share) => share.phase === phase)]);
  show(
    section,
    title("timeline-title", "Where the time goes"),
    h("p", { class: "hint" }, "One pass in order, every node summed over its layers: a prefill of one prompt, and one decode step at this load."),
    ...phases.filter(([, shares]) => shares.length).map(([phase, shares]) => phaseTimeline(phase, shares)),
  );
}

function phaseTimeline(phase, shares) {
  const total = shares.reduce((sum, share) => sum + share.ms, 0);
  const top = [...shares].sort((a, b) => b.ms - a.ms);
  const sums = KINDS.map((kind) => [kind, shares.filter((share) => share.kind === kind).reduce((sum, share) => sum + share.ms, 0)]);
  const told = sums.filter(([, value]) => value).map(([kind, value]) => `${kind} ${percent(value / total)}`).join(", ");
  return h("div", { class: "phase" },
    h("h3", null, phase === "prefill" ? "Prefill pass" : "Decode step", h("span", { class: "mono" }, ` ${ms(total)}`)),
    h("div", { class: "gantt" }, gantt(shares, total, `${phase}: ${ms(total)}, ${told}`)),
    h("ul", { class: "legend static" }, sums.filter(([, value]) => value).map(([kind, value]) => h("li", { class: `k-${kind}` }, `${kind} ${percent(value / total)}`))),
    h("details", null, h("summary", null, `${phase === "prefill" ? "Prefill" : "Decode"} by op`),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${phase} by op` },
        h("table", null, h("thead", null, h("tr", null, ["op", "bound by", "time", "share"].map((head) => h("th", { scope: "col" }, head)))),
          h("tbody", null, top.map((share) => h("tr", null, h("td", null, h("code", null, share.op)), h("td", null, share.kind), h("td", { class: "n" }, ms(share.ms)), h("td", { class: "n" }, percent(share.ms / total)))))))),
  );
}

function gantt(shares, total, label) {
  const lanes = KINDS.filter((kind) => shares.some((share) => share.kind === kind));
  const width = 1000, height = lanes.length * LANE + 22;
  let start = 0;
  const slices = shares.map((share) => {
    const x = start / total * width, w = share.ms / total * width, y = lanes.indexOf(share.kind) * LANE + 2;
    start += share.ms;
    return s("g", null, s("title", null, `${share.op}: ${ms(share.ms)}`),
      s("rect", { class: `k-${share.kind}`, x: x.toFixed(2), y, width: Math.max(0.8, w - 0.6).toFixed(2), height: LANE - 5, rx: 2 }),
      w > 6.2 * shortOp(share.op).length + 8 ? s("text", { x: (x + 5).toFixed(2), y: y + LANE / 2 + 1.5 }, shortOp(share.op)) : null);
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((at) => s("text", { class: "tick", x: at * width, y: height - 4, "text-anchor": at === 0 ? "start" : at === 1 ? "end" : "middle" }, ms(total * at)));
  return s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "ganttsvg" },
    lanes.map((kind, i) => s("line", { class: "lane", x1: 0, x2: width, y1: (i + 1) * LANE - 0.5, y2: (i + 1) * LANE - 0.5 })), slices, ticks);
}

const shortOp = (op) => op.split(".").pop();

// --- Pareto front ---

const MEASURES = {
  tpot_ms: ["TPOT, ms", (e) => e.tpot_ms], ttft_ms: ["TTFT, ms", (e) => e.ttft_ms],
  tokens_per_s_per_gpu: ["tokens/s/GPU", (e) => e.tokens_per_s_per_gpu], gpus: ["GPUs", (e) => e.gpus],
};

export function drawChoice(section, result, summary) {
  if (!result.estimate) { section.hidden = true; return; }
  const points = [
    { name: summary, estimate: result.estimate, reason: "the plan", chosen: true },
    ...result.alternatives.map((other) => ({ name: other.summary, estimate: other.estimate, reason: other.reason })),
  ];
  const choose = (id, value) => h("select", { id, onchange: () => paint() }, Object.entries(MEASURES).map(([key, [label]]) => h("option", { value: key, selected: key === value }, label)));
  const across = choose("across", "tpot_ms"), up = choose("up", "tokens_per_s_per_gpu");
  const plot = h("div", { class: "plot" });
  const table = alternatives(points, (index, on) => mark(plot, table, index, on));
  const paint = () => plot.replaceChildren(scatter(points, across.value, up.value, result.request?.slo ?? {}, (index, on) => mark(plot, table, index, on)));
  show(section, title("choice-title", "Why this one", h("span", { class: "choose" }, h("label", null, "x ", across), h("label", null, "y ", up))),
    h("div", { class: "choicerow" }, plot, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Alternatives" }, table)));
  paint();
}

function mark(plot, table, index, on) {
  for (const root of [plot, table]) for (const element of root.querySelectorAll(`[data-point="${index}"]`)) element.classList.toggle("on", on);
}

function alternatives(points, point) {
  const heads = ["", "strategy", "TTFT", "TPOT", "tok/s/GPU", "GPUs", "why not"];
  return h("table", { class: "choices" }, h("thead", null, h("tr", null, heads.map((head, i) => h("th", { scope: "col", class: i > 1 && i < 6 ? "n" : null }, head || h("span", { class: "sr" }, "number"))))),
    h("tbody", null, points.map(({ name, estimate: e, reason, chosen }, i) => h("tr", { "data-point": i, class: chosen ? "chosen" : null, onmouseenter: () => point(i, true), onmouseleave: () => point(i, false) },
      h("td", { class: "n" }, i === 0 ? "★" : i), h("td", null, name), h("td", { class: "n" }, ms(e.ttft_ms)), h("td", { class: "n" }, ms(e.tpot_ms)), h("td", { class: "n" }, num(e.tokens_per_s_per_gpu)), h("td", { class: "n" }, e.gpus), h("td", { class: "why" }, reason)))));
}

function scale(values, low, high) {
  const min = Math.min(...values), max = Math.max(...values), room = (max - min || max || 1) * 0.12;
  const from = Math.max(0, min - room), to = max + room;
  return { at: (value) => low + (value - from) / (to - from) * (high - low), ticks: ticks(from, to) };
}

function ticks(from, to) {
  const raw = (to - from) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const found = [];
  for (let value = Math.ceil(from / step) * step; value <= to; value += step) found.push(Number(value.toPrecision(10)));
  return found;
}

function scatter(points, across, up, slo, hover) {
  const [xLabel, xOf] = MEASURES[across], [yLabel, yOf] = MEASURES[up];
  const W = 520, H = 300, left = 58, bottom = 258;
  const limit = (measure) => (slo[measure] ? [slo[measure]] : []);
  const near = (measure, read) => limit(measure).filter((value) => value < 2.2 * Math.max(...points.map((p) => read(p.estimate))));
  const x = scale([...points.map((p) => xOf(p.estimate)), ...near(across, xOf)], left, W - 14);
  const y = scale([...points.map((p) => yOf(p.estimate)), ...near(up, yOf)], bottom, 16);
  const grid = [
    ...x.ticks.map((v) => [s("line", { class: "gridline", x1: x.at(v), x2: x.at(v), y1: 16, y2: bottom }), s("text", { class: "tick", x: x.at(v), y: bottom + 16, "text-anchor": "middle" }, num(v))]),
    ...y.ticks.map((v) => [s("line", { class: "gridline", x1: left, x2: W - 14, y1: y.at(v), y2: y.at(v) }), s("text", { class: "tick", x: left - 7, y: y.at(v) + 4, "text-anchor": "end" }, num(v))]),
  ];
  const limits = [
    ...near(across, xOf).map((v) => s("g", null, s("line", { class: "slo", x1: x.at(v), x2: x.at(v), y1: 16, y2: bottom }), s("text", { class: "tick", x: x.at(v) - 4, y: 26, "text-anchor": "end" }, "SLO"))),
    ...near(up, yOf).map((v) => s("g", null, s("line", { class: "slo", x1: left, x2: W - 14, y1: y.at(v), y2: y.at(v) }), s("text", { class: "tick", x: left + 4, y: y.at(v) - 4 }, "SLO"))),
  ];
  const dots = points.map((p, i) => ({ p, i })).reverse().map(({ p, i }) => s("g", {
    class: `dot${p.chosen ? " chosen" : ""}`, "data-point": i, transform: `translate(${x.at(xOf(p.estimate)).toFixed(1)} ${y.at(yOf(p.estimate)).toFixed(1)})`,
    onmouseenter: () => hover(i, true), onmouseleave: () => hover(i, false),
  }, s("title", null, `${p.name}: ${xLabel} ${num(xOf(p.estimate))}, ${yLabel} ${num(yOf(p.estimate))}`), s("circle", { r: p.chosen ? 9 : 8 }), s("text", { y: 3.6, "text-anchor": "middle" }, p.chosen ? "★" : i)));
  return s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${yLabel} over ${xLabel} of the plan and ${points.length - 1} alternatives; the table has the numbers` },
    grid, s("text", { class: "axis", x: (left + W) / 2, y: H - 6, "text-anchor": "middle" }, xLabel), s("text", { class: "axis", transform: `translate(13 ${(16 + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel), limits, dots);
}
