"use strict";
// Box and lasso on the map: what lies inside is selected.

const drawn = { points: null, box: false, how: "replace" }; // points on the canvas, while one draws

function mapMode() {
  return document.querySelector("#map-mode [name=mode]:checked").value;
}

function setMapMode() {
  canvas.classList.toggle("drawing", mapMode() !== "move");
}

function lassoBegins(event) {
  const mode = mapMode();
  if (mode === "move" && !event.shiftKey) return false;
  const keys = event.altKey ? "remove" : event.ctrlKey || event.metaKey || (event.shiftKey && mode !== "move") ? "add" : null;
  Object.assign(drawn, { points: [[event.offsetX, event.offsetY]], box: mode !== "lasso", how: keys ?? document.getElementById("map-how").value });
  canvas.setPointerCapture(event.pointerId);
  return true;
}

function lassoMoves(event) {
  const at = [event.offsetX, event.offsetY];
  drawn.points = drawn.box ? [drawn.points[0], at] : [...drawn.points, at];
  drawMap();
}

function lassoEnds() {
  const corners = outline();
  const { how } = drawn;
  const at = placer();
  drawn.points = null;
  pick(everyImage().filter((id) => inside(at(id), corners)), how);
  drawMap();
}

// Corners of what is drawn.
function outline() {
  if (!drawn.box) return drawn.points;
  const [[x, y], [u, v]] = [drawn.points[0], drawn.points.at(-1)];
  return [[x, y], [u, y], [u, v], [x, v]];
}

// Whether a line from the point to the right crosses the outline an odd number of times.
function inside([x, y], corners) {
  let odd = false;
  let before = corners[corners.length - 1];
  for (let i = 0; i < corners.length; i += 1) {
    const now = corners[i];
    if (before[1] > y !== now[1] > y && x < ((now[0] - before[0]) * (y - before[1])) / (now[1] - before[1]) + before[0]) odd = !odd;
    before = now;
  }
  return odd;
}

function drawLasso(pen) {
  if (!drawn.points) return;
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.lineWidth = 1.5;
  pen.setLineDash([5, 4]);
  pen.beginPath();
  for (const [x, y] of outline()) pen.lineTo(x, y);
  pen.closePath();
  pen.stroke();
  pen.setLineDash([]);
}

// Images in the part of the map that is in sight.
function inSight() {
  const { clientWidth: width, clientHeight: height } = canvas;
  const at = placer();
  return everyImage().filter((id) => {
    const [x, y] = at(id);
    return x >= 0 && y >= 0 && x <= width && y <= height;
  });
}

function startLasso() {
  document.getElementById("map-mode").addEventListener("change", setMapMode);
  document.getElementById("in-sight").addEventListener("click", () => pick(inSight(), document.getElementById("map-how").value));
  pickedViews.push(() => { shadeDots(); drawMap(); });
}
