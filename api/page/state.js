// What the page knows: the request, its answer, the picture of its DAG, and how that is looked at.

export const state = {
  text: "", run: null, result: null, picture: null, document: null, packed: null,
  unfold: new Set(), collapse: null, findings: [], times: new Map(), edited: false,
};

export const collapsed = () => (state.collapse === null ? null : [...state.collapse]);

// Shares of the estimate by `phase.block.node`.
export function timesOf(estimate) {
  return new Map((estimate?.breakdown ?? []).map((share) => [`${share.phase}.${share.op}`, share]));
}

export const timeOf = (node) => state.times.get(`${node.phase}.${node.block}.${node.id}`);

const AXIS_OF_FIELD = {
  "attention/cp_size": "cp", dcp_size: "dcp", "experts/ep_size": "ep", "experts/tp_size": "moe_tp", "experts/dp_size": "moe_dp",
  ep_lowering: "ep", redundant_experts: "ep",
};
const BETWEEN_STAGES = new Set(["send", "recv"]);

// Whether a finding is about a node: it points into it, or at the degree whose groups the node's collective runs over.
export function concerns({ path }, node) {
  if (path === node.pointer || path.startsWith(`${node.pointer}/`)) return true;
  const [, index, field] = /^\/strategy\/pools\/(\d+)\/(.+)$/.exec(path) ?? [];
  if (index === undefined || !poolRuns(Number(index), node.phase)) return false;
  if (field === "pp_size" || field.startsWith("stages")) return BETWEEN_STAGES.has(node.op);
  return node.kind === "communication" && AXIS_OF_FIELD[field] === node.axis;
}

const poolRuns = (index, phase) => state.picture?.pools[index]?.phases.includes(phase) ?? false;
export const findingsOf = (node) => state.findings.filter((finding) => concerns(finding, node));

// As engineers say it: `2 replicas of TP4`, or pool by pool when disaggregated.
export function planName() {
  const pools = state.result?.dag ? state.picture?.pools ?? [] : [];
  return pools.length > 1 ? pools.map((pool) => `${pool.name} ${pool.summary}`).join(", ") : pools[0]?.summary ?? "";
}
