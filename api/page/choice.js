// The Pareto plot of the plan and its alternatives, and the table that says why each lost.

import { h, ms, num, s, show, title } from "/page/dom.js";

// Label, value, and whether more is better.
const MEASURES = {
  tpot_ms: ["TPOT, ms", (e) => e.tpot_ms, false], ttft_ms: ["TTFT, ms", (e) => e.ttft_ms, false],
  tokens_per_s_per_gpu: ["tokens/s/GPU", (e) => e.tokens_per_s_per_gpu, true], gpus: ["GPUs", (e) => e.gpus, false],
};
const LEFT = 62, RIGHT = 16, TOP = 18;
const NARROWEST = 320, WIDEST = 620, ASPECT = 0.62, FOOT = 48;
const ROOMY = 190;
/* Height from which the upright axis has room for its name in the middle. */
const BEYOND = 2.2;
/* A limit further out than this many times the largest value is not drawn. */

export function drawChoice(section, result, summary) {
  if (!result.estimate) { section.hidden = true; return; }
  const points = [
    { name: summary, estimate: result.estimate, reason: "the plan", chosen: true },
    ...result.alternatives.map((other) => ({ name: other.summary, estimate: other.estimate, reason: other.reason })),
  ];
  if (points.length < 2) {
    show(section, title("choice-title", "Alternatives"), h("p", { class: "hint" }, "Nothing else on this hardware meets the request, so there is nothing to compare with."));
    return;
  }
  const choose = (id, value) => h("select", { id, onchange: () => paint() }, Object.entries(MEASURES).map(([key, [label]]) => h("option", { value: key, selected: key === value }, label)));
  const across = choose("across", "tpot_ms"), up = choose("up", "tokens_per_s_per_gpu");
  const plot = h("div", { class: "plot" });
  const mark = (index, on) => {
    for (const root of [plot, table]) for (const element of root.querySelectorAll(`[data-point="${index}"]`)) element.classList.toggle("on", on);
  };
  const table = alternatives(points, mark);
  const paint = () => plot.replaceChildren(scatter(points, across.value, up.value, result.request?.slo ?? {}, mark, plot.clientWidth));
  show(section, title("choice-title", "Alternatives", h("span", { class: "choose" }, h("label", null, "across ", across), h("label", null, "up ", up))),
    h("div", { class: "choicerow" }, plot, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Why not the others" }, table)));
  paint();
}

const HEADS = ["", "strategy", "TTFT", "TPOT", "tok/s/GPU", "GPUs", "why not"];

function alternatives(points, mark) {
  return h("table", { class: "choices" }, h("thead", null, h("tr", null, HEADS.map((head, i) => h("th", { scope: "col", class: i > 1 && i < 6 ? "n" : null }, head || h("span", { class: "sr" }, "number"))))),
    h("tbody", null, points.map(({ name, estimate: e, reason, chosen }, i) => h("tr", { "data-point": i, class: chosen ? "chosen" : null, onmouseenter: () => mark(i, true), onmouseleave: () => mark(i, false) },
      h("td", null, h("span", { class: "num" }, chosen ? "★" : i)), h("td", null, name.replaceAll(" x ", " × ")),
      [ms(e.ttft_ms), ms(e.tpot_ms), num(e.tokens_per_s_per_gpu), num(e.gpus)].map((value, at) => h("td", { class: "n", "data-label": HEADS[at + 2] }, value)), h("td", { class: "why" }, reason)))));
}

// --- plot ---

// Drawn for the width it has, so that its letters are as large as those beside it.
function scatter(points, across, up, slo, mark, room) {
  const W = Math.max(NARROWEST, Math.min(WIDEST, room || WIDEST)), H = Math.round(W * ASPECT), frame = { W, H, BOTTOM: H - FOOT };
  const [xLabel, xOf, xMore] = MEASURES[across], [yLabel, yOf, yMore] = MEASURES[up];
  const near = (measure, read) => (slo?.[measure] ? [slo[measure]] : []).filter((value) => value < BEYOND * Math.max(...points.map((p) => read(p.estimate))));
  const limits = { x: near(across, xOf), y: near(up, yOf) };
  const x = scale([...points.map((p) => xOf(p.estimate)), ...limits.x], LEFT, W - RIGHT);
  const y = scale([...points.map((p) => yOf(p.estimate)), ...limits.y], frame.BOTTOM, TOP);
  const placed = points.map((p, index) => ({ ...p, index, breaks: overLimit(p.estimate, slo), x: x.at(xOf(p.estimate)), y: y.at(yOf(p.estimate)) }));
  return s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${yLabel} over ${xLabel} of the plan and ${points.length - 1} alternatives; the table has the numbers` },
    ground(x, y, frame), limitLines(limits, x, y, frame), front(placed, xMore, yMore), axisNames([xLabel, xMore], [yLabel, yMore], frame), dots(placed, [xLabel, xOf], [yLabel, yOf], mark));
}

function scale(values, low, high) {
  const min = Math.min(...values), max = Math.max(...values), room = (max - min || max || 1) * 0.14;
  const from = Math.max(0, min - room), to = max + room;
  return { at: (value) => low + (value - from) / (to - from) * (high - low), ...ticks(from, to) };
}

// Round values, and how they are written: with as many decimals as tell them apart.
function ticks(from, to) {
  const raw = (to - from) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const found = [];
  for (let value = Math.ceil(from / step) * step; value <= to; value += step) found.push(Number(value.toPrecision(10)));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return { ticks: found, write: (value) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) };
}

function ground(x, y, { W, BOTTOM }) {
  return [
    ...x.ticks.map((v) => [s("line", { class: "gridline", x1: x.at(v), x2: x.at(v), y1: TOP, y2: BOTTOM }), s("text", { class: "tick", x: x.at(v), y: BOTTOM + 16, "text-anchor": "middle" }, x.write(v))]),
    ...y.ticks.map((v) => [s("line", { class: "gridline", x1: LEFT, x2: W - RIGHT, y1: y.at(v), y2: y.at(v) }), s("text", { class: "tick", x: LEFT - 8, y: y.at(v) + 4, "text-anchor": "end" }, y.write(v))]),
  ];
}

// What lies over a limit is shaded.
function limitLines(limits, x, y, { W, BOTTOM }) {
  return [
    ...limits.x.map((v) => [s("rect", { class: "beyond", x: x.at(v), y: TOP, width: Math.max(0, W - RIGHT - x.at(v)), height: BOTTOM - TOP }),
      s("line", { class: "slo", x1: x.at(v), x2: x.at(v), y1: TOP, y2: BOTTOM }), s("text", { class: "tick slotext", x: x.at(v) - 5, y: TOP + 11, "text-anchor": "end" }, `limit ${num(v)}`)]),
    ...limits.y.map((v) => [s("rect", { class: "beyond", x: LEFT, y: TOP, width: W - RIGHT - LEFT, height: Math.max(0, y.at(v) - TOP) }),
      s("line", { class: "slo", x1: LEFT, x2: W - RIGHT, y1: y.at(v), y2: y.at(v) }), s("text", { class: "tick slotext", x: LEFT + 5, y: y.at(v) - 5 }, `limit ${num(v)}`)]),
  ];
}

const overLimit = (estimate, slo) => ["ttft_ms", "tpot_ms"].some((measure) => slo?.[measure] && estimate[measure] > slo[measure]);

// Steps through the points within the limits that no other one beats in both measures.
function front(all, xMore, yMore) {
  const placed = all.filter((p) => !p.breaks);
  const right = xMore ? 1 : -1, high = yMore ? -1 : 1;
  const beaten = (p) => placed.some((q) => q !== p && (q.x - p.x) * right >= 0 && (q.y - p.y) * high >= 0 && (q.x !== p.x || q.y !== p.y));
  const best = placed.filter((p) => !beaten(p)).sort((a, b) => a.x - b.x);
  if (best.length < 2) return null;
  const path = best.map((p, i) => (i === 0 ? `M${p.x} ${p.y}` : (xMore ? `V${p.y}H${p.x}` : `H${p.x}V${p.y}`))).join("");
  return s("path", { class: "front", d: path });
}

function axisNames([xLabel, xMore], [yLabel, yMore], { W, H, BOTTOM }) {
  const low = BOTTOM - TOP < ROOMY;
  const turned = `translate(14 ${low ? (yMore ? BOTTOM : TOP) : (TOP + BOTTOM) / 2}) rotate(-90)`;
  return [
    s("text", { class: "axis", x: (LEFT + W) / 2, y: H - 10, "text-anchor": "middle" }, xLabel),
    s("text", { class: "axis better", x: xMore ? W - RIGHT : LEFT, y: H - 10, "text-anchor": xMore ? "end" : "start" }, xMore ? "better ›" : "‹ better"),
    s("text", { class: "axis", transform: turned, "text-anchor": low ? (yMore ? "start" : "end") : "middle" }, yLabel),
    s("text", { class: "axis better", transform: `translate(14 ${yMore ? TOP : BOTTOM}) rotate(-90)`, "text-anchor": yMore ? "end" : "start" }, yMore ? "better ›" : "‹ better"),
  ];
}

function dots(placed, [xLabel, xOf], [yLabel, yOf], mark) {
  return [...placed].reverse().map((p) => s("g", {
    class: `dot${p.chosen ? " chosen" : ""}${p.breaks ? " breaks" : ""}`, "data-point": p.index, transform: `translate(${p.x.toFixed(1)} ${p.y.toFixed(1)})`,
    onmouseenter: () => mark(p.index, true), onmouseleave: () => mark(p.index, false),
  }, s("title", null, `${p.name}: ${xLabel} ${num(xOf(p.estimate))}, ${yLabel} ${num(yOf(p.estimate))}`), s("circle", { r: p.chosen ? 11 : 9 }), s("text", { y: p.chosen ? 4.2 : 3.7, "text-anchor": "middle" }, p.chosen ? "★" : p.index)));
}
