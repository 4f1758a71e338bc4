// The DAG on its grid: drawn on a canvas from positions that the server computed. Paths are made once for a picture;
// a frame is a transform and a few fills.

import { AXES, css } from "/page/dom.js";
import { edgePath } from "/page/geometry.js";

const MIN_ZOOM = 0.015, MAX_ZOOM = 4, TILE = 900;
const TEXT_ZOOM = 0.45, FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";

export class DagView {
  constructor(canvas, listeners) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.listeners = listeners;
    this.view = { k: 1, x: 0, y: 0 };
    this.picture = null;
    this.selected = this.hovered = null;
    this.matches = null;
    this.marks = new Map();
    this.frame = null;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.readColours();
    listen(this);
  }

  // --- what is shown ---

  setPicture(picture, keepView = false) {
    const before = this.selected === null ? null : this.nodeOf(this.selected)?.pointer;
    const phase = this.selected === null ? null : this.nodeOf(this.selected)?.phase;
    this.picture = picture;
    this.grid = { ...picture.grid, size: picture.node_size };
    this.hovered = null;
    this.matches = null;
    this.buildPaths();
    this.buildIndex();
    this.selected = before ? this.cellOf(before, phase) : null;
    if (!keepView) this.fit();
    this.redraw();
  }

  // Findings by node pointer: `error`, `warning` or `info`.
  setMarks(marks) { this.marks = marks; this.redraw(); }

  setMatches(cells) { this.matches = cells; this.redraw(); }

  readColours() {
    const names = ["ink", "ink-2", "ink-3", "surface", "surface-2", "line", "line-2", "accent", "error", "warning", "kv"];
    this.colours = Object.fromEntries(names.map((name) => [name, css(name)]));
    this.axisColours = Object.fromEntries(AXES.map((axis) => [axis, css(`axis-${axis}`)]));
    this.redraw();
  }

  nodeOf(cell) { return this.picture.nodes[this.grid.cells.template[cell]]; }

  cellOf(pointer, phase) {
    const { template } = this.grid.cells;
    for (let i = 0; i < template.length; i += 1) {
      const node = this.picture.nodes[template[i]];
      if (node && node.pointer === pointer && (!phase || node.phase === phase)) return i;
    }
    return null;
  }

  // --- built once for a picture ---

  buildPaths() {
    const { cells, edges, size: [w, h] } = this.grid;
    this.fills = new Tiles();
    for (let i = 0; i < cells.x.length; i += 1) {
      const node = this.nodeOf(i);
      const style = !node ? "stub" : node.kind === "communication" || node.op === "step_sync" ? node.axis ?? "stage" : node.kind;
      this.fills.at(style, cells.x[i], cells.x[i], cells.y[i], cells.y[i]).rect(cells.x[i], cells.y[i], w, h);
    }
    this.wires = new Tiles();
    this.incident = new Map();
    for (let i = 0; i < edges.source.length; i += 1) {
      const edge = { source: edges.source[i], target: edges.target[i], kind: edges.kind[i], route: edges.route[i], loop: edges.loop[i] };
      const style = edge.route === "link" ? (edge.loop ? "loop" : edge.kind === "sync" ? "kv" : "link") : edge.kind === "data" ? (edge.route === "residual" ? "residual" : "data") : edge.kind;
      const { source: a, target: b } = edge;
      edgePath(this.wires.at(style, cells.x[a], cells.x[b], cells.y[a], cells.y[b]), edge, this.grid);
      for (const end of [edge.source, edge.target]) {
        if (!this.incident.has(end)) this.incident.set(end, []);
        this.incident.get(end).push(edge);
      }
    }
  }

  // Cells by column, for finding what is under the pointer; columns never overlap.
  buildIndex() {
    this.inColumn = this.grid.columns.map(() => []);
    this.grid.cells.column.forEach((column, cell) => this.inColumn[column].push(cell));
    this.groupsOf = this.grid.columns.map(() => []);
    for (const group of this.grid.groups) this.groupsOf[group.column].push(group);
  }

  // --- view ---

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    const ratio = window.devicePixelRatio || 1;
    const first = this.canvas.width === 300 || !this.width;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.width = clientWidth;
    this.height = clientHeight;
    if (this.picture && (first || this.fitted)) this.fit();
    this.paint();
  }

  fit() {
    if (!this.grid || !this.width) return;
    const pad = 16;
    const k = clamp(Math.min((this.width - 2 * pad) / this.grid.width, (this.height - 2 * pad) / this.grid.height), MIN_ZOOM, 1.25);
    this.view = { k, x: (this.width - this.grid.width * k) / 2, y: (this.height - this.grid.height * k) / 2 };
    this.fitted = true;
    this.redraw();
  }

  // A picture much wider than the canvas starts at its beginning, readable.
  home() {
    this.fit();
    if (this.view.k < 0.3 && this.grid) {
      const k = Math.max(0.3, Math.min(0.55, (this.height - 40) / this.grid.height));
      this.view = { k, x: 16, y: Math.max(16, (this.height - this.grid.height * k) / 2) };
      this.fitted = false;
    }
    this.redraw();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const k = clamp(this.view.k * factor, MIN_ZOOM, MAX_ZOOM), scale = k / this.view.k;
    this.view = { k, x: x - (x - this.view.x) * scale, y: y - (y - this.view.y) * scale };
    this.fitted = false;
    this.redraw();
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.fitted = false;
    this.redraw();
  }

  // Bring a cell into view by the shortest way; in the middle and readable when `nearer`.
  reveal(cell, nearer = false) {
    const { cells, size: [w, h] } = this.grid, margin = 40;
    if (nearer) {
      const k = this.view.k < TEXT_ZOOM ? 0.9 : this.view.k;
      this.view = { k, x: this.width / 2 - (cells.x[cell] + w / 2) * k, y: this.height / 2 - (cells.y[cell] + h / 2) * k };
    } else {
      const { k } = this.view, x = cells.x[cell] * k + this.view.x, y = cells.y[cell] * k + this.view.y;
      this.view.x += clamp(x, margin, Math.max(margin, this.width - margin - w * k)) - x;
      this.view.y += clamp(y, margin, Math.max(margin, this.height - margin - h * k)) - y;
    }
    this.fitted = false;
    this.redraw();
  }

  // --- what is where ---

  at(px, py) {
    if (!this.grid) return null;
    const x = (px - this.view.x) / this.view.k, y = (py - this.view.y) / this.view.k;
    const { cells, columns, size: [w, h] } = this.grid;
    for (let c = 0; c < columns.length; c += 1) {
      const { box } = columns[c];
      if (x < box.x - 8 || x > box.x + box.w + 8 || y < box.y - 30 || y > box.y + box.h + 8) continue;
      if (y < box.y - 4 && columns[c].foldable) return { column: c };
      const cell = this.inColumn[c].find((i) => x >= cells.x[i] && x <= cells.x[i] + w && y >= cells.y[i] && y <= cells.y[i] + h);
      return cell === undefined ? null : { cell, column: c };
    }
    const band = this.grid.bands.findIndex(({ box }) => x >= box.x && x <= box.x + box.w && y >= box.y && y <= box.y + 34);
    return band >= 0 ? { band } : null;
  }

  select(cell, { reveal = false, nearer = false } = {}) {
    this.selected = cell;
    if (cell !== null && reveal) this.reveal(cell, nearer);
    this.listeners.select(cell);
    this.redraw();
  }

  // The next cell in a direction: along the column, or the nearest one of the neighbouring column.
  neighbour(direction) {
    const { cells, columns } = this.grid;
    if (this.selected === null) return cells.x.length ? 0 : null;
    const column = cells.column[this.selected];
    if (direction === "up" || direction === "down") {
      const order = [...this.inColumn[column]].sort((a, b) => cells.y[a] - cells.y[b] || cells.x[a] - cells.x[b]);
      return order[order.indexOf(this.selected) + (direction === "down" ? 1 : -1)] ?? this.selected;
    }
    for (let c = column + (direction === "right" ? 1 : -1); c >= 0 && c < columns.length; c += direction === "right" ? 1 : -1) {
      const y = cells.y[this.selected] - columns[column].box.y;
      const near = [...this.inColumn[c]].sort((a, b) => Math.abs(cells.y[a] - columns[c].box.y - y) - Math.abs(cells.y[b] - columns[c].box.y - y));
      if (near.length) return near[0];
    }
    return this.selected;
  }

  // --- drawing ---

  redraw() {
    if (this.frame === null) this.frame = requestAnimationFrame(() => { this.frame = null; this.paint(); });
  }

  paint() {
    if (!this.width) return;
    const g = this.context, ratio = window.devicePixelRatio || 1, { k, x, y } = this.view;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.fillStyle = this.colours["surface-2"];
    g.fillRect(0, 0, this.width, this.height);
    if (!this.grid) return;
    g.setTransform(ratio * k, 0, 0, ratio * k, ratio * x, ratio * y);
    this.paintBands(g);
    this.paintWires(g);
    this.paintCells(g);
    this.paintFocus(g);
    if (k >= TEXT_ZOOM) this.paintText(g);
  }

  visible(box, margin = 0) {
    const { k, x, y } = this.view;
    return box.x * k + x < this.width + margin && (box.x + box.w) * k + x > -margin && box.y * k + y < this.height + margin && (box.y + box.h) * k + y > -margin;
  }

  paintBands(g) {
    const { bands, columns, groups } = this.grid, { colours, view: { k } } = this;
    g.lineWidth = Math.max(1, 1 / k);
    for (const band of bands) {
      g.fillStyle = colours.surface;
      g.strokeStyle = colours.line;
      roundRect(g, band.box, 10);
      g.fill();
      g.stroke();
      if (!this.visible(band.box)) continue;
      const size = band.collapsed ? clamp(13, 8 / k, 22) : clamp(15, 11 / k, 40);
      g.fillStyle = colours.ink;
      g.font = `600 ${size}px ${FONT}`;
      g.textBaseline = "middle";
      g.fillText(fitText(g, bandTitle(band), band.box.w - 32), band.box.x + 16, band.box.y + 20);
    }
    if (k > 0.12) {
      g.fillStyle = colours["surface-2"];
      g.beginPath();
      for (const { box } of groups) if (this.visible(box)) g.roundRect(box.x, box.y, box.w, box.h, 7);
      g.fill();
    }
    if (k < 0.22) return;
    g.textBaseline = "middle";
    g.font = `${clamp(12, 8 / k, 22)}px ${FONT}`;
    for (const column of columns) {
      if (!this.visible(column.box, 40) || this.grid.bands[column.band].collapsed) continue;
      g.fillStyle = column.foldable ? colours.accent : colours["ink-2"];
      g.fillText(fitText(g, columnTitle(column), column.box.w + 24), column.box.x, column.box.y - 12);
    }
  }

  paintWires(g) {
    const { colours, view: { k } } = this;
    const thin = Math.max(1.1, 0.75 / k);
    const many = this.grid.edges.source.length > 1200;
    const styles = {
      residual: [colours["line-2"], thin, []], data: [colours["ink-3"], thin, []], sync: [colours.kv, thin, [4, 3]],
      pipeline: [colours.accent, thin * 1.8, []], kv: [colours.kv, thin, [5, 4]], link: [colours.accent, thin, []],
      loop: [colours.kv, thin, [2, 4]],
    };
    for (const [style, paths] of this.wires.seen((box) => this.visible(box))) {
      const [colour, width, dash] = styles[style];
      g.strokeStyle = colour;
      g.lineWidth = width;
      // Dashes cost more than everything else together when thousands of curves are far away.
      g.setLineDash(many && k < TEXT_ZOOM ? [] : dash);
      g.globalAlpha = (["kv", "loop", "link"].includes(style) ? (many ? 0.16 : 0.45) : 0.8) * (this.selected === null ? 1 : 0.55);
      for (const path of paths) g.stroke(path);
    }
    g.setLineDash([]);
    g.globalAlpha = 1;
  }

  paintCells(g) {
    const { colours, view: { k } } = this;
    g.globalAlpha = this.matches ? 0.35 : 1;
    for (const [style, paths] of this.fills.seen((box) => this.visible(box))) {
      const axis = this.axisColours[style];
      g.fillStyle = axis ? mix(axis, colours.surface, k < 0.25 ? 0.75 : 0.2) : style === "compute" || style === "stub" ? colours.surface : colours["surface-2"];
      g.strokeStyle = axis ?? (style === "compute" ? colours["ink-3"] : colours["line-2"]);
      g.lineWidth = Math.max(axis ? 1.4 : 1, 0.6 / k);
      for (const path of paths) {
        g.fill(path);
        if (k > 0.07) g.stroke(path);
      }
    }
    g.globalAlpha = 1;
    const { cells, size: [w, h] } = this.grid;
    if (this.matches) {
      g.fillStyle = mix(colours.accent, colours.surface, 0.3);
      g.strokeStyle = colours.accent;
      g.lineWidth = Math.max(2, 1.5 / k);
      for (const cell of this.matches) { g.fillRect(cells.x[cell], cells.y[cell], w, h); g.strokeRect(cells.x[cell], cells.y[cell], w, h); }
    }
    if (this.marks.size) this.paintMarks(g);
  }

  paintMarks(g) {
    const { cells, size: [w, h] } = this.grid, radius = Math.max(6, 4 / this.view.k);
    for (let cell = 0; cell < cells.x.length; cell += 1) {
      const severity = this.marks.get(this.nodeOf(cell)?.pointer);
      if (!severity) continue;
      const colour = severity === "error" ? this.colours.error : this.colours.warning;
      g.strokeStyle = g.fillStyle = colour;
      g.lineWidth = Math.max(2, 1.5 / this.view.k);
      g.strokeRect(cells.x[cell], cells.y[cell], w, h);
      g.beginPath();
      g.arc(cells.x[cell] + w, cells.y[cell], radius, 0, 7);
      g.fill();
      g.fillStyle = this.colours.surface;
      g.font = `700 ${radius * 1.6}px ${FONT}`;
      g.textAlign = "center";
      g.textBaseline = "middle";
      g.fillText("!", cells.x[cell] + w, cells.y[cell]);
      g.textAlign = "start";
    }
  }

  paintFocus(g) {
    const { cells, size: [w, h] } = this.grid, { colours, view: { k } } = this;
    const wide = Math.max(2, 1.6 / k);
    for (const cell of new Set([this.selected, this.hovered])) {
      if (cell === null) continue;
      g.strokeStyle = colours.accent;
      g.lineWidth = wide;
      for (const edge of this.incident.get(cell) ?? []) {
        const path = new Path2D();
        edgePath(path, edge, this.grid);
        g.setLineDash(edge.loop ? [2, 4] : []);
        g.stroke(path);
      }
      g.setLineDash([]);
      g.strokeRect(cells.x[cell] - 1.5, cells.y[cell] - 1.5, w + 3, h + 3);
    }
  }

  paintText(g) {
    const { cells, groups, columns, size: [w, h] } = this.grid, { colours } = this;
    g.textBaseline = "middle";
    g.font = `11px ${FONT}`;
    g.fillStyle = colours["ink-2"];
    for (const { box, block } of groups) if (this.visible(box)) g.fillText(fitText(g, block, box.w - 20), box.x + 10, box.y + 12);
    columns.forEach((column, index) => {
      if (!this.visible(column.box)) return;
      for (const cell of this.inColumn[index]) {
        const x = cells.x[cell], y = cells.y[cell];
        if (!this.visible({ x, y, w, h })) continue;
        const node = this.nodeOf(cell);
        const axis = node && (node.kind === "communication" || node.op === "step_sync") ? node.axis : null;
        g.fillStyle = this.matches && !this.matches.includes(cell) ? colours["ink-3"] : colours.ink;
        g.font = `${node?.kind === "control" ? "italic " : ""}13px ${FONT}`;
        const room = axis ? w - 20 - axisWidth(g, axis) : w - 14;
        g.fillText(fitText(g, node ? cellText(node) : stubText(column), room), x + 8, y + h / 2 + 0.5);
        if (axis) {
          g.font = `600 11px ${FONT}`;
          g.textAlign = "right";
          g.fillText(axis, x + w - 7, y + h / 2 + 0.5);
          g.textAlign = "start";
        }
      }
    });
  }
}

// Paths by style and place, so that a frame draws only what it shows.
class Tiles {
  constructor() { this.styles = new Map(); }

  // The path of a style for something that reaches from one place to another.
  at(style, x1, x2, y1, y2) {
    const left = Math.min(x1, x2), top = Math.min(y1, y2), far = Math.abs(x2 - x1) > TILE;
    const key = far ? "far" : `${Math.floor(left / TILE)} ${Math.floor(top / TILE)}`;
    if (!this.styles.has(style)) this.styles.set(style, new Map());
    const tiles = this.styles.get(style);
    if (!tiles.has(key)) tiles.set(key, { path: new Path2D(), box: { x: left, y: top, w: 0, h: 0 } });
    const { path, box } = tiles.get(key), margin = 2 * TILE / 10;
    const right = Math.max(box.x + box.w, x1 + margin, x2 + margin), bottom = Math.max(box.y + box.h, y1 + margin, y2 + margin);
    box.x = Math.min(box.x, left - margin);
    box.y = Math.min(box.y, top - margin);
    box.w = right - box.x;
    box.h = bottom - box.y;
    return path;
  }

  * seen(visible) {
    for (const [style, tiles] of this.styles) yield [style, [...tiles.values()].filter(({ box }) => visible(box)).map(({ path }) => path)];
  }
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const axisWidth = (g, axis) => axis.length * 6.5;

const widths = new Map();
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

export const cellText = (node) => (node.kind === "communication" || node.id === node.op ? node.op.replaceAll("_", " ") : node.id);

export function columnTitle(column) {
  if (column.kind !== "layers") return column.kind;
  const count = column.end - column.first;
  if (count > 1) return `▸ layers ${column.first}–${column.end - 1} ×${count}`;
  return column.foldable ? `▾ layer ${column.first}` : `layer ${column.first}`;
}

const stubText = (column) => (column.end > column.first ? `layers ${column.first}–${column.end - 1}` : column.kind);

export function bandTitle(band) {
  const stage = band.stage === null ? "no stage" : `stage ${band.stage}`;
  if (band.collapsed) return `▸ ${stage}`;
  const phase = band.phase[0].toUpperCase() + band.phase.slice(1);
  return `${phase} · ${stage} · ${band.layers} layer${band.layers === 1 ? "" : "s"} · pool ${band.pool}`;
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

// --- pointer and keyboard ---

function listen(view) {
  const { canvas, listeners } = view;
  const pointers = new Map();
  let moved = false, spread = null;
  const local = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };

  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, local(event));
    canvas.setPointerCapture(event.pointerId);
    moved = false;
    spread = null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = local(event), last = pointers.get(event.pointerId);
    if (!last) {
      const hit = view.at(x, y), cell = hit?.cell ?? null;
      canvas.classList.toggle("pointing", Boolean(hit));
      if (cell !== view.hovered) { view.hovered = cell; view.redraw(); }
      listeners.hover(cell, x, y);
      return;
    }
    pointers.set(event.pointerId, [x, y]);
    if (pointers.size === 2) {
      const [[ax, ay], [bx, by]] = [...pointers.values()], distance = Math.hypot(ax - bx, ay - by);
      if (spread) view.zoom(distance / spread, (ax + bx) / 2, (ay + by) / 2);
      spread = distance;
      moved = true;
    } else if (moved || Math.hypot(x - last[0], y - last[1]) > 2) {
      moved = true;
      view.pan(x - last[0], y - last[1]);
    }
  });
  const release = (event) => {
    const [x, y] = local(event);
    if (pointers.size === 1 && !moved && event.type === "pointerup") click(view, x, y);
    pointers.delete(event.pointerId);
    spread = null;
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { view.hovered = null; listeners.hover(null); view.redraw(); });
  // The wheel belongs to the page until the picture has the focus.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return;
    event.preventDefault();
    view.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0018)), ...local(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => view.zoom(1.8, ...local(event)));
  canvas.addEventListener("keydown", (event) => press(view, event));
}

function click(view, x, y) {
  const hit = view.at(x, y);
  if (!hit) view.select(null);
  else if (hit.cell !== undefined) view.select(hit.cell);
  else if (hit.column !== undefined) view.listeners.fold(view.grid.columns[hit.column]);
  else view.listeners.collapse(view.grid.bands[hit.band]);
}

function press(view, event) {
  if (!view.grid || event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" };
  if (moves[event.key]) view.select(view.neighbour(moves[event.key]), { reveal: true });
  else if (event.key === "+" || event.key === "=") view.zoom(1.25);
  else if (event.key === "-") view.zoom(0.8);
  else if (event.key === "0") view.fit();
  else if (event.key === "Escape") view.select(null);
  else if (event.key === "/") view.listeners.search();
  else if (event.key === "Enter" && view.selected !== null) view.listeners.fold(view.grid.columns[view.grid.cells.column[view.selected]]);
  else return;
  event.preventDefault();
}
