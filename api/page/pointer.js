// Pointer, wheel, touch and keyboard on the picture.

export function listen(view) {
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
  else if (hit.map) view.centre(hit.map.x, hit.map.y);
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
