"use strict";
// Moving and zooming a canvas with mouse, wheel and fingers.

const SLACK = 4; // pixels that a finger may move and still press

// `move` gets pixels of the screen, `zoom` a factor and the point that stays, from the middle of the
// canvas; `tap` the point that was pressed without moving.
function movable(canvas, move, zoom, tap = () => {}) {
  const down = new Map(); // where each finger is
  let still = null; // where the only finger went down, until it moves
  const middle = (event) => [event.offsetX - canvas.clientWidth / 2, event.offsetY - canvas.clientHeight / 2];
  const apart = () => {
    const [[ax, ay], [bx, by]] = down.values();
    return { gap: Math.hypot(ax - bx, ay - by) || 1, x: (ax + bx) / 2, y: (ay + by) / 2 };
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...middle(event));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, middle(event));
    still = down.size === 1 ? middle(event) : null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const from = down.get(event.pointerId);
    if (!from) return;
    const before = down.size === 2 ? apart() : null;
    const to = middle(event);
    if (still && Math.hypot(to[0] - still[0], to[1] - still[1]) < SLACK) return;
    still = null;
    down.set(event.pointerId, to);
    if (!before) return down.size === 1 ? move(to[0] - from[0], to[1] - from[1]) : undefined;
    const now = apart();
    move(now.x - before.x, now.y - before.y);
    zoom(now.gap / before.gap, now.x, now.y);
  });
  canvas.addEventListener("pointerup", () => { if (still && down.size === 1) tap(...still); });
  for (const ends of ["pointerup", "pointercancel"]) canvas.addEventListener(ends, (event) => down.delete(event.pointerId));
}
