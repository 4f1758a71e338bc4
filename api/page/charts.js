// Memory against capacity, and where the time of a pass goes.

import { gb, h, ms, num, percent, show, title } from "/page/dom.js";

// --- memory ---

const PARTS = [["weights", "weights"], ["kv", "KV cache"], ["activations", "activations"], ["other", "other"]];
const LABELLED = 0.1;

export function drawMemory(section, pools, estimate) {
  const stages = pools.flatMap((pool) => pool.memory_gb.map((memory, stage) => ({ pool, stage, memory })));
  const bars = stages.length ? stages : estimate ? [{ pool: null, stage: 0, memory: estimate.memory_gb }] : [];
  if (!bars.length) { section.hidden = true; return; }
  const full = Math.max(...bars.map(({ memory }) => Math.max(memory.total, memory.capacity)));
  show(
    section,
    title("memory-title", "Memory of the fullest GPU"),
    h("ul", { class: "legend static" }, PARTS.map(([part, label]) => h("li", { class: `m-${part}` }, label)), h("li", { class: "capline" }, "capacity")),
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
  const name = [several && pool ? pool.name : null, staged && (pool?.memory_gb.length ?? 1) > 1 ? stages : null].filter(Boolean).join(" · ");
  const told = PARTS.map(([part, label]) => `${label} ${gb(memory[part])}`).join(", ");
  return [
    name && h("span", { class: "barname" }, name),
    h("div", { class: "track", role: "img", "aria-label": `${name ? `${name}: ` : ""}${told}; ${num(memory.total)} of ${gb(memory.capacity)}`, vars: { capacity: percentage(memory.capacity / full) } },
      PARTS.map(([part, label]) => h("span", { class: `part m-${part}`, title: `${label} ${gb(memory[part])}`, vars: { share: percentage(memory[part] / full) } }, memory[part] / full > LABELLED ? gb(memory[part]) : null)),
      h("span", { class: "cap" })),
    h("span", { class: "mono n" }, `${num(memory.total)} / ${gb(memory.capacity)}`)];
}

const percentage = (share) => `${(100 * share).toFixed(3)}%`;

// --- timeline ---

const KINDS = ["compute", "memory", "communication", "other"];
const PASS = { prefill: ["Prefill pass", "one prompt through every layer"], decode: ["Decode step", "one token of every sequence, at this load"] };
const CHARACTER_PX = 6.4, PADDING_PX = 12;

export function drawTimeline(section, estimate) {
  if (!estimate?.breakdown.length) { section.hidden = true; return; }
  const phases = Object.keys(PASS).map((phase) => [phase, estimate.breakdown.filter((share) => share.phase === phase)]);
  show(
    section,
    title("timeline-title", "Where the time goes"),
    h("p", { class: "hint" }, "A pass in order, each op summed over its layers, in the row of what bounds it. Waiting in the queue comes on top."),
    ...phases.filter(([, shares]) => shares.length).map(([phase, shares]) => phaseTimeline(phase, shares)),
  );
  labelSlices(section);
}

function phaseTimeline(phase, shares) {
  const total = shares.reduce((sum, share) => sum + share.ms, 0), [name, what] = PASS[phase];
  const kinds = KINDS.map((kind) => [kind, shares.filter((share) => share.kind === kind).reduce((sum, share) => sum + share.ms, 0)]).filter(([, value]) => value);
  return h("div", { class: "phase" },
    h("h3", null, name, h("span", { class: "mono" }, ms(total)), h("span", { class: "hint" }, what)),
    h("div", { class: "gantt", role: "img", "aria-label": `${name}: ${ms(total)}, ${kinds.map(([kind, value]) => `${kind} ${percent(value / total)}`).join(", ")}` },
      kinds.map(([kind, value]) => [h("span", { class: `lanename k-${kind}` }, kind, h("b", null, percent(value / total))), h("div", { class: `lane k-${kind}` }, slices(shares, kind, total))]),
      h("div", { class: "ticks" }, [0, 0.25, 0.5, 0.75, 1].map((at) => h("span", null, at ? ms(total * at) : "0")))),
    byOp(phase, shares, total),
  );
}

function slices(shares, kind, total) {
  let start = 0;
  const found = [];
  for (const share of shares) {
    const at = start / total, part = share.ms / total;
    start += share.ms;
    if (share.kind === kind) found.push(h("span", { class: "slice", title: `${share.op}: ${ms(share.ms)}, ${percent(part)}`, "data-name": share.op.split(".").pop(), vars: { at: percentage(at), share: percentage(part) } }));
  }
  return found;
}

// A slice is named where its name has room; all are measured before any is changed.
function labelSlices(section) {
  const roomy = [...section.querySelectorAll(".slice")].filter((slice) => slice.clientWidth > slice.dataset.name.length * CHARACTER_PX + PADDING_PX);
  for (const slice of roomy) {
    slice.textContent = slice.dataset.name;
    slice.classList.add("named");
  }
}

function byOp(phase, shares, total) {
  const top = [...shares].sort((a, b) => b.ms - a.ms);
  return h("details", null, h("summary", null, `${phase === "prefill" ? "Prefill" : "Decode"} by op`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${phase} by op` },
      h("table", null, h("thead", null, h("tr", null, ["op", "bound by", "time", "share"].map((head, i) => h("th", { scope: "col", class: i > 1 ? "n" : null }, head)))),
        h("tbody", null, top.map((share) => h("tr", null, h("td", null, h("code", null, share.op)), h("td", null, share.kind), h("td", { class: "n" }, ms(share.ms)), h("td", { class: "n" }, percent(share.ms / total))))))));
}
