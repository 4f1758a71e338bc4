// One frame of the DAG: ground, bands, columns, wires, nodes, what is selected, and the map of the whole.

import { edgePath } from "/page/geometry.js";

const TEXT_ZOOM = 0.42, FAR_ZOOM = 0.3, MANY_WIRES = 1200, SOME_LINKS = 8, DOTS = 24;
const FONT = "Inter, system-ui, -apple-system, 'Segoe UI', sans-serif";
const MAP_W = 190, MAP_H = 110, MAP_EDGE = 12;
const STACKED = 2, STACK_STEP = 5;
const LINKS = new Set(["kv", "loop", "link"]);

export function paint(view) {
  if (!view.width) return;
  const g = view.context, ratio = window.devicePixelRatio || 1, { k, x, y } = view.view;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.fillStyle = view.colours["surface-2"];
  g.fillRect(0, 0, view.width, view.height);
  if (!view.grid) return;
  paintDots(view, g);
  g.setTransform(ratio * k, 0, 0, ratio * k, ratio * x, ratio * y);
  paintBands(view, g);
  paintColumns(view, g);
  paintWires(view, g);
  paintCells(view, g);
  paintFocus(view, g);
  if (k >= TEXT_ZOOM) paintText(view, g);
  paintMarks(view, g);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  paintMap(view, g);
}

// Dotted paper that moves with the picture.
function paintDots(view, g) {
  const { k, x, y } = view.view;
  if (k < TEXT_ZOOM) return;
  view.dots ??= dotPattern(g, view.colours.dot);
  view.dots.setTransform(new DOMMatrix([k, 0, 0, k, x, y]));
  g.fillStyle = view.dots;
  g.fillRect(0, 0, view.width, view.height);
}

function dotPattern(g, colour) {
  const tile = new OffscreenCanvas(DOTS, DOTS), t = tile.getContext("2d");
  t.fillStyle = colour;
  t.fillRect(0, 0, 2, 2);
  return g.createPattern(tile, "repeat");
}

function paintBands(view, g) {
  const { colours, view: { k } } = view;
  for (const band of view.grid.bands) {
    if (!view.visible(band.box)) continue;
    const { x, y, w, h } = band.box, colour = colours[band.phase] ?? colours["ink-3"];
    g.fillStyle = colours.surface;
    g.strokeStyle = colours["line-2"];
    g.lineWidth = Math.max(1, 1 / k);
    roundRect(g, band.box, 10);
    g.fill();
    g.stroke();
    g.fillStyle = colour;
    g.beginPath();
    g.roundRect(x, y, w, Math.max(4, 3 / k), [10, 10, 0, 0]);
    g.fill();
    const size = band.collapsed ? clamp(8 / k, 13, 20) : clamp(11 / k, 15, 30);
    const title = bandTitle(band);
    g.textBaseline = "middle";
    g.fillStyle = colours.ink;
    g.font = `650 ${size}px ${FONT}`;
    const line = y + (band.collapsed ? 20 : 24);
    g.fillText(fitText(g, title, w - 20), x + 14, line);
    if (band.collapsed || k < FAR_ZOOM) continue;
    const left = x + 14 + g.measureText(title).width + 12;
    g.fillStyle = colours["ink-2"];
    g.font = `400 ${size * 0.82}px ${FONT}`;
    if (left < x + w - 40) g.fillText(fitText(g, bandFacts(band), x + w - left - 10), left, line);
  }
}

// Blocks of each column; a folded run of layers lies on the edges of those beneath it.
function paintColumns(view, g) {
  const { colours, view: { k } } = view, { columns, groups } = view.grid;
  if (k < 0.12) return;
  g.lineWidth = Math.max(1, 0.7 / k);
  for (const group of groups) {
    const column = columns[group.column];
    if (!view.visible(column.box, 20)) continue;
    const repeats = column.kind === "layers" ? Math.min(STACKED, column.end - column.first - 1) : 0;
    g.strokeStyle = colours.line;
    for (let i = repeats; i >= 0; i -= 1) {
      g.fillStyle = i ? colours.surface : colours["surface-2"];
      roundRect(g, { ...group.box, x: group.box.x + i * STACK_STEP, y: group.box.y + i * STACK_STEP }, 7);
      g.fill();
      g.stroke();
    }
  }
  if (k < FAR_ZOOM) return;
  const size = clamp(9 / k, 12, 20);
  g.textBaseline = "middle";
  g.font = `600 ${size}px ${FONT}`;
  for (const column of columns) {
    if (view.grid.bands[column.band].collapsed || !view.visible({ ...column.box, y: column.box.y - 30, h: 30 })) continue;
    g.fillStyle = column.foldable ? colours.accent : colours["ink-2"];
    g.fillText(fitText(g, columnTitle(column), column.box.w + 30), column.box.x + 1, column.box.y - 13);
  }
}

function paintWires(view, g) {
  const { colours, view: { k } } = view;
  const thin = Math.max(1.1, 0.75 / k);
  const many = view.grid.edges.source.length > MANY_WIRES;
  const faint = many ? 0.16 : view.links > SOME_LINKS ? 0.24 : 0.42;
  const styles = {
    residual: [colours["line-2"], thin, []], data: [colours["ink-3"], thin, []], sync: [colours.kv, thin, [4, 3]],
    pipeline: [colours.accent, thin * 1.8, []], kv: [colours.kv, thin, [5, 4]], link: [colours.accent, thin, []],
    loop: [colours.kv, thin, [2, 4]],
  };
  for (const [style, paths] of view.wires.seen((box) => view.visible(box))) {
    const [colour, width, dash] = styles[style];
    g.strokeStyle = colour;
    g.lineWidth = width;
    // Dashes cost more than everything else together when thousands of curves are far away.
    g.setLineDash(many && k < TEXT_ZOOM ? [] : dash);
    g.globalAlpha = (LINKS.has(style) ? faint : 0.8) * (view.selected === null ? 1 : 0.45);
    for (const path of paths) g.stroke(path);
  }
  g.setLineDash([]);
  g.globalAlpha = 1;
}

function paintCells(view, g) {
  const { view: { k } } = view;
  g.globalAlpha = view.matches ? 0.3 : 1;
  for (const [style, paths] of (k < FAR_ZOOM ? view.far : view.fills).seen((box) => view.visible(box))) {
    const [fill, stroke, strong] = cellColours(view, style);
    g.fillStyle = fill;
    g.strokeStyle = stroke;
    g.lineWidth = Math.max(strong ? 1.4 : 1, 0.6 / k);
    for (const path of paths) {
      g.fill(path);
      if (k > 0.07) g.stroke(path);
    }
  }
  if (!view.heat && k >= FAR_ZOOM) paintBars(view, g);
  g.globalAlpha = 1;
  if (view.matches) paintMatches(view, g);
}

function cellColours({ colours, axisColours, view: { k } }, style) {
  const axis = axisColours[style];
  if (axis) return [mix(axis, colours.surface, k < FAR_ZOOM ? 0.75 : 0.2), axis, true];
  if (style.startsWith("heat")) return [colours[style], colours["line-2"], false];
  if (style === "compute" || style === "stub") return [colours.surface, colours["ink-3"], false];
  return [colours["surface-2"], colours["line-2"], false];
}

function paintBars(view, g) {
  g.fillStyle = view.colours["heat-4"];
  for (const [, paths] of view.bars.seen((box) => view.visible(box))) for (const path of paths) g.fill(path);
}

function paintMatches(view, g) {
  const { cells, size: [w, h] } = view.grid, { colours, view: { k } } = view;
  g.fillStyle = mix(colours.accent, colours.surface, 0.3);
  g.strokeStyle = colours.accent;
  g.lineWidth = Math.max(2, 1.5 / k);
  for (const cell of view.matches) { g.fillRect(cells.x[cell], cells.y[cell], w, h); g.strokeRect(cells.x[cell], cells.y[cell], w, h); }
}

function paintMarks(view, g) {
  const { cells, size: [w] } = view.grid, radius = clamp(7 / view.view.k, 7, 16);
  if (view.view.k < 0.1) return;
  g.textAlign = "center";
  g.textBaseline = "middle";
  g.font = `700 ${radius * 1.5}px ${FONT}`;
  for (const cell of view.marked ?? []) {
    const x = cells.x[cell] + w - 2, y = cells.y[cell] + 1, severity = view.marks.get(`${view.nodeOf(cell).phase} ${view.nodeOf(cell).pointer}`);
    if (!view.visible({ x, y, w: radius, h: radius })) continue;
    g.fillStyle = severity === "error" ? view.colours.error : severity === "warning" ? view.colours.warning : view.colours.accent;
    g.beginPath();
    g.arc(x, y, radius, 0, 7);
    g.fill();
    g.fillStyle = view.colours.surface;
    g.fillText(severity === "info" ? "i" : "!", x, y + radius * 0.08);
  }
  g.textAlign = "start";
}

function paintFocus(view, g) {
  const { cells, size: [w, h] } = view.grid, { colours, view: { k } } = view;
  g.strokeStyle = colours.accent;
  g.lineWidth = Math.max(2, 1.6 / k);
  for (const cell of new Set([view.selected, view.hovered])) {
    if (cell === null) continue;
    for (const edge of view.incident.get(cell) ?? []) {
      const path = new Path2D();
      edgePath(path, edge, view.grid);
      g.setLineDash(edge.loop ? [2, 4] : []);
      g.stroke(path);
    }
    g.setLineDash([]);
    roundRect(g, { x: cells.x[cell] - 1.5, y: cells.y[cell] - 1.5, w: w + 3, h: h + 3 }, 6);
    g.stroke();
  }
}

function paintText(view, g) {
  const { groups, columns } = view.grid, { colours, view: { k } } = view;
  const size = clamp(8.8 / k, 13, 19);
  g.textBaseline = "middle";
  if (k > 0.6) {
    g.font = `500 ${clamp(8.5 / k, 11, 14)}px ${FONT}`;
    g.fillStyle = colours["ink-3"];
    for (const { box, block } of groups) if (view.visible(box)) g.fillText(fitText(g, block, box.w - 20), box.x + 11, box.y + 12);
  }
  columns.forEach((column, index) => {
    if (!view.visible(column.box)) return;
    for (const cell of view.inColumn[index]) paintLabel(view, g, cell, column, size);
  });
}

function paintLabel(view, g, cell, column, size) {
  const { cells, size: [w, h] } = view.grid, { colours, axisColours } = view;
  const x = cells.x[cell], y = cells.y[cell];
  if (!view.visible({ x, y, w, h })) return;
  const node = view.nodeOf(cell);
  const axis = node && (node.kind === "communication" || node.op === "step_sync") ? node.axis : null;
  const middle = y + h / 2 + (size > 15 ? 0.5 : 0);
  let room = w - 14;
  if (axis && size < 17) {
    g.font = `650 ${Math.min(size, 12)}px ${FONT}`;
    g.fillStyle = axisColours[axis];
    const width = g.measureText(axis).width;
    g.fillText(axis, x + w - 8 - width, middle);
    room -= width + 6;
  }
  g.fillStyle = view.matches && !view.matches.has(cell) ? colours["ink-3"] : labelColour(colours, node, view.heat);
  g.font = `${node?.kind === "control" ? "italic " : ""}${node && (axis || node.weight_bytes) ? 550 : 400} ${size}px ${FONT}`;
  g.fillText(fitText(g, node ? cellText(node) : stubText(column), room), x + 8, middle);
}

// What carries weights or speaks to other ranks stands out from what goes over activations.
function labelColour(colours, node, heat) {
  return !heat && node && node.kind !== "communication" && !node.fields.weight && node.op !== "attention" ? colours["ink-2"] : colours.ink;
}

// --- the map of the whole ---

// Where it lies, in pixels: in the lower corner where it hid less of the graph when that was last laid out; none when everything is in view.
export function placeMap(view) {
  const { grid, width, height, view: { k, x, y } } = view;
  if (!grid || width < 480 || (x >= -1 && y >= -1 && x + grid.width * k <= width + 1 && y + grid.height * k <= height + 1)) return null;
  const scale = Math.min(MAP_W / grid.width, MAP_H / grid.height), w = grid.width * scale, h = grid.height * scale;
  return { x: view.mapLeft ? MAP_EDGE : width - w - MAP_EDGE, y: height - h - MAP_EDGE, w, h, scale };
}

export function chooseMapCorner(view) {
  const hidden = (left) => {
    view.mapLeft = left;
    const map = placeMap(view);
    return map ? view.grid.columns.reduce((sum, { box }) => sum + shared(view.view, box, map), 0) : 0;
  };
  const right = hidden(false);
  view.mapLeft = hidden(true) < right;
}

// The pixels of a box of the graph that lie under a rectangle of the canvas.
function shared({ k, x, y }, box, under) {
  const w = Math.min(x + (box.x + box.w) * k, under.x + under.w) - Math.max(x + box.x * k, under.x);
  const h = Math.min(y + (box.y + box.h) * k, under.y + under.h) - Math.max(y + box.y * k, under.y);
  return Math.max(0, w) * Math.max(0, h);
}

function paintMap(view, g) {
  const map = placeMap(view);
  if (!map) return;
  const { colours, view: { k, x, y } } = view;
  g.fillStyle = colours.surface;
  g.strokeStyle = colours["line-2"];
  g.lineWidth = 1;
  roundRect(g, { x: map.x - 6, y: map.y - 6, w: map.w + 12, h: map.h + 12 }, 7);
  g.fill();
  g.stroke();
  for (const band of view.grid.bands) {
    g.fillStyle = mix(colours[band.phase] ?? colours["ink-3"], colours.surface, 0.4);
    g.fillRect(map.x + band.box.x * map.scale, map.y + band.box.y * map.scale, Math.max(1, band.box.w * map.scale), Math.max(1, band.box.h * map.scale));
  }
  const left = clamp(-x / k * map.scale, 0, map.w), top = clamp(-y / k * map.scale, 0, map.h);
  const right = clamp((view.width - x) / k * map.scale, 0, map.w), bottom = clamp((view.height - y) / k * map.scale, 0, map.h);
  g.strokeStyle = colours.accent;
  g.lineWidth = 1.5;
  g.strokeRect(map.x + left, map.y + top, Math.max(2, right - left), Math.max(2, bottom - top));
}

// --- words ---

export const cellText = (node) => (node.kind === "communication" || node.id === node.op ? node.op.replaceAll("_", " ") : node.id);

export function columnTitle(column) {
  if (column.kind !== "layers") return column.kind;
  const count = column.end - column.first;
  if (count > 1) return `▸ layers ${column.first}–${column.end - 1}  ×${count}`;
  return column.foldable ? `▾ layer ${column.first}` : `layer ${column.first}`;
}

const stubText = (column) => (column.end > column.first ? `layers ${column.first}–${column.end - 1}` : column.kind);
const stageName = (band) => (band.stage === null ? "no stage" : `stage ${band.stage}`);

export function bandTitle(band) {
  return band.collapsed ? `▸ ${stageName(band)}` : band.phase[0].toUpperCase() + band.phase.slice(1);
}

const bandFacts = (band) => `${stageName(band)} · ${band.layers} layer${band.layers === 1 ? "" : "s"}${band.pool === band.phase ? "" : ` · pool ${band.pool}`}`;

const widths = new Map();
// After a font has loaded, texts are measured anew.
export const forgetWidths = () => widths.clear();

function fitText(g, text, room) {
  const key = `${g.font}|${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    if (widths.size > 20_000) widths.clear();
    width = g.measureText(text).width;
    widths.set(key, width);
  }
  if (width <= room) return text;
  return `${text.slice(0, Math.max(1, Math.floor(text.length * room / width) - 1))}…`;
}

function roundRect(g, box, radius) {
  g.beginPath();
  g.roundRect(box.x, box.y, box.w, box.h, radius);
}

// `share` of one #rrggbb colour over another.
function mix(colour, ground, share) {
  const parse = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const [a, b] = [parse(colour), parse(ground)];
  return `rgb(${a.map((v, i) => Math.round(v * share + b[i] * (1 - share))).join(" ")})`;
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
