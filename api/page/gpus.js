// GPUs host by host, coloured by the group of a chosen axis.

import { AXIS_NAMES, h, show, title } from "/page/dom.js";

const COLOURS = 12;

export function drawGpus(section, pools, findings) {
  const drawn = pools.filter((pool) => pool.stage.length);
  if (!drawn.length) { section.hidden = true; return; }
  const axes = choices(drawn);
  const body = h("div", { class: "pools" });
  const chooser = h("select", { id: "axis", onchange: () => paint() }, axes.map(([value, label]) => h("option", { value }, label)));
  const paint = () => body.replaceChildren(...drawn.map((pool) => poolPicture(pool, chooser.value)));
  show(
    section,
    title("gpus-title", "GPUs", h("label", { class: "choose" }, "Colour by ", chooser)),
    h("p", { class: "hint" }, "Small: the rank. Bold, and the colour: its group."),
    body,
    ...findings.map((finding) => h("p", { class: `note ${finding.severity}` }, h("b", null, finding.code), ` ${finding.message}`)),
  );
  paint();
}

function choices(pools) {
  const sizes = new Map();
  for (const pool of pools) for (const [axis, size] of Object.entries(pool.axes)) if (axis !== "stage") sizes.set(axis, Math.max(size, sizes.get(axis) ?? 1));
  const found = [...sizes].map(([axis, size]) => [axis, `${axis}: ${AXIS_NAMES[axis]} groups of ${size}`]);
  if (pools.some((pool) => Math.max(...pool.stage) > 0)) found.push(["pp", "pp: pipeline stages"]);
  if (pools.some((pool) => Math.max(...pool.replica) > 0)) found.push(["replica", "replicas"]);
  return found.length ? found : [["replica", "replicas"]];
}

function numbers(pool, axis) {
  if (axis === "pp") return pool.stage;
  if (axis === "replica") return pool.replica;
  return pool.group[axis] ?? pool.stage.map(() => 0);
}

function poolPicture(pool, axis) {
  const groups = numbers(pool, axis);
  const hosts = new Map();
  for (let i = 0; i < pool.world_size; i += 1) {
    const host = Math.floor((pool.first_rank + i) / pool.gpus_per_host);
    if (!hosts.has(host)) hosts.set(host, []);
    hosts.get(host).push(i);
  }
  const name = axis === "pp" ? "stage" : axis === "replica" ? "replica" : `${axis} group`;
  const count = new Set(groups).size;
  return h("figure", { class: "pool" },
    h("figcaption", null, h("b", null, pool.name), ` ${pool.summary} · ${pool.phases.join(" and ")} · ${count} ${name}${count === 1 ? "" : "s"}`),
    h("div", { class: "hosts" }, [...hosts].map(([host, members]) => h("div", { class: "host" },
      h("span", { class: "hostname" }, `host ${host}`),
      h("ul", { class: "ranks", "aria-label": `host ${host}` }, members.map((i) => h("li", {
        class: `gpu g${groups[i] % COLOURS}`,
        title: `rank ${pool.first_rank + i}: ${name} ${groups[i]}, stage ${pool.stage[i]}, replica ${pool.replica[i]}`,
      }, h("span", { class: "rank" }, pool.first_rank + i), h("span", { class: "group" }, h("span", { class: "sr" }, `${name} `), groups[i])))))),
    ));
}
