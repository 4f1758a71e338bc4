// GPUs host by host, coloured by the group of a chosen axis; pointing at one shows who it talks to.

import { AXIS_NAMES, count, h, num, show, title } from "/page/dom.js";

const COLOURS = 12;

export function drawGpus(section, pools) {
  const drawn = pools.filter((pool) => pool.stage.length);
  if (!drawn.length) { section.hidden = true; return; }
  const axes = choices(drawn);
  const body = h("div", { class: "pools" });
  const chooser = h("select", { id: "axis", onchange: () => paint() }, axes.map(([value, label]) => h("option", { value }, label)));
  const saying = h("p", { class: "saying" });
  const paint = () => {
    saying.textContent = "Small: the rank. Bold, and the colour: its group. Point at a GPU to see who it works with.";
    body.replaceChildren(...drawn.map((pool) => poolPicture(pool, chooser.value, saying)));
  };
  show(section, title("gpus-title", "GPUs", h("label", { class: "choose" }, "Colour by ", chooser)), body, saying);
  paint();
}

// Ways to colour, the one that tells most first: several groups of several ranks each.
function choices(pools) {
  const sizes = new Map(), world = pools.reduce((sum, pool) => sum + pool.world_size, 0);
  for (const pool of pools) for (const [axis, size] of Object.entries(pool.axes)) if (axis !== "stage") sizes.set(axis, Math.max(size, sizes.get(axis) ?? 1));
  const found = [...sizes].map(([axis, size]) => [axis, `${axis}: ${AXIS_NAMES[axis]} groups of ${size}`]);
  if (pools.some((pool) => Math.max(...pool.stage) > 0)) found.push(["pp", "pp: pipeline stages"]);
  if (pools.some((pool) => Math.max(...pool.replica) > 0)) found.push(["replica", "replicas"]);
  if (pools.length > 1) found.push(["pool", "pools: prefill and decode"]);
  const groups = (axis) => new Set(pools.flatMap((pool, i) => numbers(pool, axis, i).map((number) => `${i} ${number}`))).size;
  const tells = ([axis]) => { const n = groups(axis); return n > pools.length && n < world ? 2 : n > 1 ? 1 : 0; };
  return found.length ? found.sort((a, b) => tells(b) - tells(a)) : [["replica", "replicas"]];
}

function numbers(pool, axis, index) {
  if (axis === "pp") return pool.stage;
  if (axis === "replica") return pool.replica;
  if (axis === "pool") return pool.stage.map(() => index);
  return pool.group[axis] ?? pool.stage.map(() => 0);
}

const groupWord = (axis) => ({ pp: "stage", replica: "replica", pool: "pool" })[axis] ?? `${axis} group`;

function poolPicture(pool, axis, saying) {
  const groups = numbers(pool, axis, pool.first_rank ? 1 : 0), name = groupWord(axis);
  const hosts = byHost(pool);
  const tiles = [];
  const point = (i) => {
    for (const [j, tile] of tiles.entries()) { tile.classList.toggle("far", i !== null && groups[j] !== groups[i]); tile.classList.toggle("here", j === i); }
    if (i !== null) saying.textContent = sayRank(pool, i);
  };
  const tile = (i) => (tiles[i] = h("li", { class: `gpu g${groups[i] % COLOURS}`, title: sayRank(pool, i), onmouseenter: () => point(i) },
    h("span", { class: "rank" }, num(pool.first_rank + i)), h("span", { class: "group" }, h("span", { class: "sr" }, `${name} `), groups[i])));
  return h("figure", { class: "pool", onmouseleave: () => point(null) },
    h("figcaption", null, h("b", null, pool.name), ` ${pool.summary.replaceAll(" x ", " × ")} · ${pool.phases.join(" and ")} · ${count(new Set(groups).size, name)}`),
    h("div", { class: "hosts", tabindex: hosts.size > 8 ? "0" : null, role: "group", "aria-label": `hosts of pool ${pool.name}` }, [...hosts].map(([host, members]) => h("div", { class: "host" },
      h("span", { class: "hostname" }, `host ${host}`), h("ul", { class: "ranks", "aria-label": `host ${host}` }, members.map(tile))))));
}

const hostOf = (pool, i) => Math.floor((pool.first_rank + i) / pool.gpus_per_host);

function byHost(pool) {
  const hosts = new Map();
  for (let i = 0; i < pool.world_size; i += 1) {
    const host = hostOf(pool, i);
    if (!hosts.has(host)) hosts.set(host, []);
    hosts.get(host).push(i);
  }
  return hosts;
}

// Every group that a rank belongs to, with how many it shares it with.
function sayRank(pool, i) {
  const groups = Object.keys(pool.group).filter((axis) => axis !== "stage").map((axis) => `${axis} group ${pool.group[axis][i]} of ${count(pool.axes[axis], "rank")}`);
  return [`rank ${num(pool.first_rank + i)}`, `host ${hostOf(pool, i)}`, `replica ${pool.replica[i]}`, `stage ${pool.stage[i]}`, ...groups].join(" · ");
}
