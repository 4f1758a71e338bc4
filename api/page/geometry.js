// Paths of edges between cells of the grid, in grid units. Nothing here knows about screens.

const BEND = 7;

export function edgePath(path, edge, grid) {
  const { cells, columns, size: [w, h] } = grid;
  const from = place(cells, edge.source), to = place(cells, edge.target);
  const a = columns[cells.column[edge.source]], b = columns[cells.column[edge.target]];
  if (edge.source === edge.target) return loop(path, from, w, h);
  if (edge.route === "link") return link(path, from, to, w, h, a, b);
  if (a === b) return edge.route === "residual" ? aside(path, from, to, h, a) : inside(path, from, to, w, h, edge.route === "stream");
  if (a.band === b.band) return across(path, from, to, w, h, b.box.x - (edge.route === "residual" ? 11 : 17));
  return between(path, from, to, w, h);
}

const place = (cells, index) => ({ x: cells.x[index], y: cells.y[index] });

// Down a lane, to a neighbouring lane, or past nodes in between.
function inside(path, from, to, w, h, adjacent) {
  const x1 = from.x + w / 2, y1 = from.y + h, x2 = to.x + w / 2, y2 = to.y;
  if (x1 === x2 && y2 - y1 > h && !adjacent) {
    const x = from.x + w;
    path.moveTo(x, from.y + h / 2);
    path.bezierCurveTo(x + 16, from.y + h, x + 16, to.y, x, to.y + h / 2);
    return;
  }
  path.moveTo(x1, y1);
  if (x1 === x2) path.lineTo(x2, y2);
  else path.bezierCurveTo(x1, (y1 + y2) / 2 + 4, x2, Math.max(y1, y2 - 22), x2, y2);
}

// The residual stream past a block, along the left edge of its column.
function aside(path, from, to, h, column) {
  const x = column.box.x - 3, y1 = from.y + h / 2, y2 = to.y + h / 2;
  path.moveTo(from.x, y1);
  path.lineTo(x + BEND, y1);
  path.quadraticCurveTo(x, y1, x, y1 + BEND);
  path.lineTo(x, y2 - BEND);
  path.quadraticCurveTo(x, y2, x + BEND, y2);
  path.lineTo(to.x, y2);
}

// From the foot of one column through the gutter into the side of a node of the next.
function across(path, from, to, w, h, gutter) {
  const x1 = from.x + w / 2, y1 = from.y + h, low = y1 + 9, high = to.y + h / 2;
  const turn = high < low ? -BEND : BEND;
  path.moveTo(x1, y1);
  path.lineTo(x1, low - BEND);
  path.quadraticCurveTo(x1, low, x1 + BEND, low);
  path.lineTo(gutter - BEND, low);
  path.quadraticCurveTo(gutter, low, gutter, low + turn);
  path.lineTo(gutter, high - turn);
  path.quadraticCurveTo(gutter, high, gutter + BEND, high);
  path.lineTo(to.x, high);
}

// From a stage to another.
function between(path, from, to, w, h) {
  if (to.y > from.y + h && Math.abs(to.x - from.x) < 2 * w) {
    const x1 = from.x + w / 2, x2 = to.x + w / 2, y1 = from.y + h, middle = (y1 + to.y) / 2;
    path.moveTo(x1, y1);
    path.bezierCurveTo(x1, middle, x2, middle, x2, to.y);
    return;
  }
  const x1 = from.x + w, y1 = from.y + h / 2, y2 = to.y + h / 2, middle = (x1 + to.x) / 2;
  path.moveTo(x1, y1);
  path.bezierCurveTo(middle, y1, middle, y2, to.x, y2);
}

// Across phases and steps: around the nodes, on the side that faces the other end.
function link(path, from, to, w, h, a, b) {
  const y1 = from.y + h / 2, y2 = to.y + h / 2;
  if (a === b) {
    const x = from.x + w, out = Math.max(x, to.x + w) + 26;
    path.moveTo(x, y1);
    path.bezierCurveTo(out, y1, out, y2, to.x + w, y2);
    return;
  }
  const right = to.x > from.x, x1 = right ? from.x + w : from.x, x2 = right ? to.x : to.x + w;
  const reach = Math.max(60, Math.abs(x2 - x1) / 2) * (right ? 1 : -1);
  path.moveTo(x1, y1);
  path.bezierCurveTo(x1 + reach, y1, x2 - reach, y2, x2, y2);
}

function loop(path, at, w, h) {
  const x = at.x + w, y = at.y + h / 2;
  path.moveTo(x, y - 5);
  path.bezierCurveTo(x + 22, y - 14, x + 22, y + 14, x, y + 5);
}
