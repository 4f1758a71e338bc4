// What people see first: requests to begin with.

import { byId, h } from "/page/dom.js";

const EXAMPLES = [
  ["Mixture of experts", "DeepSeek-V3 on 4x8 H200, 4k in, 1k out, TTFT under 2 s, TPOT under 50 ms"],
  ["Dense, two hosts", "Llama 3.1 70B on 2x8 H100, 4k in, 500 out, TTFT < 1 s, TPOT < 40 ms"],
  ["Lowest latency", "Llama 3.1 8B on 1x2 L40S, 1k in, 200 out, lowest latency"],
  ["Prefill and decode apart", "Qwen3-235B-A22B on 4x8 H200, 8k in, 1k out, disaggregated, TTFT < 3 s, TPOT < 30 ms"],
  ["For one engine", "Mixtral 8x7B on 1x8 A100, 2k in, 256 out, 64 concurrent, vLLM"],
  ["Does it fit?", "DeepSeek-V3 on 1x8 A100, 4k in"],
];

export function drawExamples(ask) {
  byId("examples").replaceChildren(...EXAMPLES.map(([name, text]) => h("li", null,
    h("button", { type: "button", onclick: () => { toggle(false); ask(text); } }, h("b", null, name), h("span", null, text)))));
  byId("more").addEventListener("click", () => toggle(!byId("examples").classList.contains("open")));
}

export function toggle(open) {
  byId("examples").classList.toggle("open", open);
  byId("more").setAttribute("aria-expanded", String(open));
}
