// The DAG on its grid, from positions that the server computed: what is shown, from where it is looked at, and what lies under a point.
// Paths are made once for a picture; a frame is a transform and a few fills (paint.js).

import { AXES, css } from "/page/dom.js";
import { edgePath } from "/page/geometry.js";
import { chooseMapCorner, forgetWidths, paint, placeMap } from "/page/paint.js";
import { listen } from "/page/pointer.js";

const MIN_ZOOM = 0.015, MAX_ZOOM = 4, TILE = 900, PAD = 16;
const READABLE = 0.5, NEAR = 0.9;
export const HEATS = 5;
const COLOURS = ["ink", "ink-2", "ink-3", "surface", "surface-2", "line", "line-2", "dot", "accent", "accent-soft", "error", "warning", "kv", "prefill", "decode", ...Array.from({ length: HEATS }, (_, i) => `heat-${i}`)];

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
    this.shares = [];
    this.heat = false;
    this.frame = null;
    new ResizeObserver(() => this.resize()).observe(canvas);
    document.fonts.addEventListener("loadingdone", () => { forgetWidths(); this.redraw(); });
    this.readColours();
    listen(this);
  }

  // --- what is shown ---

  // `shareOf` gives the share of a node in the slowest node's time of its phase, 0 to 1.
  setPicture(picture, shareOf, keepView = false) {
    const before = this.selected === null ? null : this.nodeOf(this.selected);
    this.picture = picture;
    this.grid = { ...picture.grid, size: picture.node_size };
    this.shares = picture.nodes.map(shareOf);
    this.hovered = null;
    this.matches = null;
    this.buildPaths();
    this.buildIndex();
    this.selected = before ? this.cellOf(before.pointer, before.phase) : null;
    this.askHeight();
    if (!keepView) this.fit();
    this.redraw();
  }

  // Findings by node, as `phase pointer`: `error`, `warning` or `info`.
  setMarks(marks) {
    this.marks = marks;
    this.marked = this.grid.cells.template.flatMap((template, cell) => (template !== null && marks.has(markKey(this.picture.nodes[template])) ? [cell] : []));
    this.redraw();
  }

  setMatches(cells) { this.matches = cells && new Set(cells); this.redraw(); }

  setHeat(on) {
    this.heat = on;
    if (!this.grid) return;
    this.buildFills();
    this.redraw();
  }

  readColours() {
    this.colours = Object.fromEntries(COLOURS.map((name) => [name, css(name)]));
    this.axisColours = Object.fromEntries(AXES.map((axis) => [axis, css(`axis-${axis}`)]));
    this.dots = null;
    this.redraw();
  }

  nodeOf(cell) { return this.picture.nodes[this.grid.cells.template[cell]]; }
  shareOf(cell) { return this.shares[this.grid.cells.template[cell]] ?? 0; }

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
    this.buildFills();
    const { cells, edges } = this.grid;
    this.wires = new Tiles();
    this.incident = new Map();
    this.links = edges.route.filter((route) => route === "link").length;
    for (let i = 0; i < edges.source.length; i += 1) {
      const edge = { source: edges.source[i], target: edges.target[i], kind: edges.kind[i], route: edges.route[i], loop: edges.loop[i] };
      const { source: a, target: b } = edge;
      edgePath(this.wires.at(wireStyle(edge), cells.x[a], cells.x[b], cells.y[a], cells.y[b]), edge, this.grid);
      for (const end of [a, b]) {
        if (!this.incident.has(end)) this.incident.set(end, []);
        this.incident.get(end).push(edge);
      }
    }
  }

  // Boxes with round corners for near, plain ones for far, and the bars of time.
  buildFills() {
    const { cells, size: [w, h] } = this.grid;
    this.fills = new Tiles();
    this.far = new Tiles();
    this.bars = new Tiles();
    for (let i = 0; i < cells.x.length; i += 1) {
      const x = cells.x[i], y = cells.y[i], style = this.fillStyle(i), share = this.shareOf(i);
      this.fills.at(style, x, x, y, y).roundRect(x, y, w, h, 5);
      this.far.at(style, x, x, y, y).rect(x, y, w, h);
      if (share > 0.004) this.bars.at("bar", x, x, y, y).rect(x + 4, y + h - 3.5, Math.max(1, (w - 8) * share), 2.5);
    }
  }

  fillStyle(cell) {
    const node = this.nodeOf(cell);
    if (!node) return "stub";
    if (this.heat) return `heat-${Math.min(HEATS - 1, Math.floor(HEATS * Math.sqrt(this.shareOf(cell))))}`;
    if (node.kind === "communication" || node.op === "step_sync") return node.axis ?? "stage";
    return node.kind;
  }

  // Cells by column, for finding what is under the pointer; columns never overlap.
  buildIndex() {
    this.inColumn = this.grid.columns.map(() => []);
    this.grid.cells.column.forEach((column, cell) => this.inColumn[column].push(cell));
  }

  // --- view ---

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    const ratio = window.devicePixelRatio || 1;
    const first = !this.width;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.width = clientWidth;
    this.height = clientHeight;
    this.askHeight();
    if (this.picture && (first || this.fitted)) this.home();
    paint(this);
  }

  // As high as the picture is at full width; the style sheet keeps it within the screen.
  askHeight() {
    if (!this.grid || !this.width) return;
    const k = clamp((this.width - 2 * PAD) / this.grid.width, READABLE, 1);
    this.canvas.style.setProperty("--ideal", `${Math.ceil(this.grid.height * k + 2 * PAD)}px`);
  }

  fit() {
    if (!this.grid || !this.width) return;
    const k = clamp(Math.min((this.width - 2 * PAD) / this.grid.width, (this.height - 2 * PAD) / this.grid.height), MIN_ZOOM, 1.25);
    this.look(k, (this.width - this.grid.width * k) / 2, (this.height - this.grid.height * k) / 2);
    this.fitted = true;
  }

  // A picture that is too large to be read whole starts at its beginning, readable; the map shows the rest.
  home() {
    this.fit();
    if (!this.grid || !this.width || this.view.k >= READABLE) return;
    const tall = (this.height - 2 * PAD) / this.grid.height;
    const k = clamp(tall, READABLE, 0.8);
    this.look(k, Math.max(PAD, (this.width - this.grid.width * k) / 2), Math.max(PAD, (this.height - this.grid.height * k) / 2));
    chooseMapCorner(this);
    this.fitted = true;
  }

  look(k, x, y) {
    this.view = { k, x, y };
    this.fitted = false;
    this.redraw();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const k = clamp(this.view.k * factor, MIN_ZOOM, MAX_ZOOM), scale = k / this.view.k;
    this.look(k, x - (x - this.view.x) * scale, y - (y - this.view.y) * scale);
  }

  pan(dx, dy) { this.look(this.view.k, this.view.x + dx, this.view.y + dy); }

  // The middle of the view to a point of the grid.
  centre(gx, gy, k = this.view.k) { this.look(k, this.width / 2 - gx * k, this.height / 2 - gy * k); }

  // Bring a cell into view by the shortest way; in the middle and readable when `nearer`.
  reveal(cell, nearer = false) {
    const { cells, size: [w, h] } = this.grid, margin = 40;
    if (nearer) { this.centre(cells.x[cell] + w / 2, cells.y[cell] + h / 2, this.view.k < READABLE ? NEAR : this.view.k); return; }
    const { k } = this.view, x = cells.x[cell] * k + this.view.x, y = cells.y[cell] * k + this.view.y;
    this.pan(clamp(x, margin, Math.max(margin, this.width - margin - w * k)) - x, clamp(y, margin, Math.max(margin, this.height - margin - h * k)) - y);
  }

  // --- what is where ---

  at(px, py) {
    if (!this.grid) return null;
    const map = placeMap(this);
    if (map && px >= map.x && py >= map.y && px <= map.x + map.w && py <= map.y + map.h) return { map: { x: (px - map.x) / map.scale, y: (py - map.y) / map.scale } };
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
    const step = direction === "right" ? 1 : -1, y = cells.y[this.selected] - columns[column].box.y;
    for (let c = column + step; c >= 0 && c < columns.length; c += step) {
      const distance = (cell) => Math.abs(cells.y[cell] - columns[c].box.y - y);
      const near = [...this.inColumn[c]].sort((a, b) => distance(a) - distance(b));
      if (near.length) return near[0];
    }
    return this.selected;
  }

  redraw() {
    if (this.frame === null) this.frame = requestAnimationFrame(() => { this.frame = null; paint(this); });
  }

  visible(box, margin = 0) {
    const { k, x, y } = this.view;
    return box.x * k + x < this.width + margin && (box.x + box.w) * k + x > -margin && box.y * k + y < this.height + margin && (box.y + box.h) * k + y > -margin;
  }
}

export const markKey = (node) => `${node.phase} ${node.pointer}`;

function wireStyle({ route, loop, kind }) {
  if (route === "link") return loop ? "loop" : kind === "sync" ? "kv" : "link";
  if (kind === "data") return route === "residual" ? "residual" : "data";
  return kind;
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
    const { path, box } = tiles.get(key), margin = TILE / 5;
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
