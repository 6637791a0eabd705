"use strict";
// The map of the images: a canvas that can be moved, zoomed and used with the keyboard.

const view = { x: 0, y: 0, zoom: 1, under: null, moving: null };
const RESTS = 150; // milliseconds without a motion, after which all dots are drawn
let canvas, colours, buckets;
const CELLS = 64;

function colourings() {
  const { images } = state;
  const ramp = (share) => `hsl(${Math.round(10 + 200 * share)} 75% 50%)`;
  const ways = {
    group: () => ({ of: (id) => hue(state.of[id]), legend: state.groups.map((group, i) => [hue(i), `${group.name}${group.junk ? " (junk)" : ""}`]) }),
    confidence: () => ({ of: (id) => ramp(images.confidence[id] / 255), legend: [[ramp(0), "0"], [ramp(0.5), "0.5"], [ramp(1), "1"]] }),
    outlier: () => ({ of: (id) => ramp(1 - images.outlier[id] / 1000), legend: [[ramp(1), "drawn well"], [ramp(0), "drawn badly"]] }),
  };
  images.coordinates.forEach((coordinate, t) => {
    const name = coordinate.name.replaceAll("_", " ");
    const reach = coordinate.unit === "deg" ? 180 : coordinate.half_width || 1;
    const shade = (value) => coordinate.unit === "deg"
      ? `hsl(${Math.round(value + 360) % 360} 75% 52%)` : ramp(Math.min(1, Math.max(0, (value / reach + 1) / 2)));
    const marks = coordinate.unit === "deg" ? [-90, 0, 90, 180] : [-reach, 0, reach];
    ways[name] = () => ({ of: (id) => shade(images.pose[t][id]), legend: marks.map((mark) => [shade(mark), `${+mark.toPrecision(2)} ${coordinate.unit}`]) });
  });
  for (const [name, of] of Object.entries({ area: shares().area, brightness: shares().brightness, ...variations() })) ways[name] = () => scale(of, ramp);
  if (images.mirrored) {
    ways.mirrored = () => ({ of: (id) => hue(images.mirrored[id]), legend: [[hue(0), "no"], [hue(1), "yes"]] });
  }
  if (images.labels) {
    ways.label = () => ({ of: (id) => hue(images.labels[id]), legend: images.label_names.map((name, i) => [hue(i), name]) });
  }
  ways["part of the data"] = () => ({ of: (id) => hue(images.split[id]), legend: images.splits.map((name, i) => [hue(i), name]) });
  return ways;
}

// Colours from the lowest to the highest value.
function scale(of, ramp) {
  let [low, high] = [Infinity, -Infinity];
  for (let id = 0; id < state.images.count; id += 1) [low, high] = [Math.min(low, of(id)), Math.max(high, of(id))];
  const shade = (value) => ramp((value - low) / (high - low || 1));
  return { of: (id) => shade(of(id)), legend: [low, (low + high) / 2, high].map((mark) => [shade(mark), String(+mark.toPrecision(2))]) };
}

// Where images are on the canvas. For many of them, the size of the canvas is asked for once.
function placer() {
  const { clientWidth: width, clientHeight: height } = canvas;
  const { x, y } = state.images;
  const side = Math.min(width, height) - 24;
  return (id) => [
    width / 2 + ((x[id] / 65535 - 0.5) * side - view.x) * view.zoom,
    height / 2 + ((y[id] / 65535 - 0.5) * side - view.y) * view.zoom,
  ];
}

function place(id) {
  return placer()(id);
}

let asked = false;
function drawMap() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    drawDots(pen, ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawNear(pen);
    drawLasso(pen);
    if (view.under !== null) {
      const [x, y] = place(view.under);
      pen.strokeStyle = getComputedStyle(canvas).color;
      pen.lineWidth = 2;
      pen.strokeRect(x - 7, y - 7, 14, 14);
    }
  });
}

function moves() {
  clearTimeout(view.moving);
  view.moving = setTimeout(() => { view.moving = null; drawMap(); }, RESTS);
  drawMap();
}

// Ids by cells of a grid over the map, to find the nearest one without comparing all.
function fillBuckets() {
  buckets = Array.from({ length: CELLS * CELLS }, () => []);
  const cell = (value) => Math.min(CELLS - 1, Math.floor((value / 65536) * CELLS));
  for (let id = 0; id < state.images.count; id += 1) {
    buckets[cell(state.images.y[id]) * CELLS + cell(state.images.x[id])].push(id);
  }
}

function nearest(x, y, reach = 18) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const side = Math.min(width, height) - 24;
  const u = ((x - width / 2) / view.zoom + view.x) / side + 0.5;
  const v = ((y - height / 2) / view.zoom + view.y) / side + 0.5;
  const cells = Math.ceil((reach / view.zoom / side) * CELLS) + 1;
  let [best, least] = [null, reach * reach];
  const at = placer();
  for (let row = Math.floor(v * CELLS) - cells; row <= v * CELLS + cells; row += 1) {
    for (let column = Math.floor(u * CELLS) - cells; column <= u * CELLS + cells; column += 1) {
      if (row < 0 || column < 0 || row >= CELLS || column >= CELLS) continue;
      for (const id of buckets[row * CELLS + column]) {
        const [px, py] = at(id);
        const far = (px - x) ** 2 + (py - y) ** 2;
        if (far < least) [best, least] = [id, far];
      }
    }
  }
  return best;
}

function point(id) {
  view.under = id;
  const tip = document.getElementById("tip");
  tip.hidden = id === null;
  if (id !== null) {
    const [x, y] = place(id);
    const sure = `${isOutlier(id) ? "outlier, " : ""}${percent(state.images.confidence[id] / 255)} sure`;
    tip.replaceChildren(
      el("div", { class: "thumb", style: pictureStyle(state.images.thumbs, id, 56) }),
      el("div", {}, nameOf(id), el("br"), `group ${groupName(state.of[id])}, ${sure}`));
    tip.style.left = `${Math.max(4, Math.min(x + 12, canvas.clientWidth - 220))}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 12, canvas.clientHeight - 80))}px`;
  }
  drawMap();
}

function zoomBy(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const zoom = Math.min(200, Math.max(1, view.zoom * factor));
  const [dx, dy] = [x - canvas.clientWidth / 2, y - canvas.clientHeight / 2];
  view.x += dx / view.zoom - dx / zoom;
  view.y += dy / view.zoom - dy / zoom;
  view.zoom = zoom;
  if (zoom === 1) view.x = view.y = 0;
  moves();
  point(view.under);
}

const fingers = new Map(); // where each pointer that is down was last

// Two fingers zoom and move the map.
function pinch(event) {
  const middle = ([[x, y], [u, v]]) => [(x + u) / 2, (y + v) / 2];
  const apart = ([[x, y], [u, v]]) => Math.max(1, Math.hypot(u - x, v - y));
  const before = [...fingers.values()].slice(0, 2);
  fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  const now = [...fingers.values()].slice(0, 2);
  const [from, to] = [middle(before), middle(now)];
  view.x -= (to[0] - from[0]) / view.zoom;
  view.y -= (to[1] - from[1]) / view.zoom;
  zoomBy(apart(now) / apart(before), ...to);
}

// The next image in a direction: the nearest of those within 45 degrees of it.
function stepTo(dx, dy) {
  if (view.under === null) return point(nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, 4000) ?? 0);
  const at = placer();
  const [x, y] = at(view.under);
  let [best, least] = [null, Infinity];
  for (let id = 0; id < state.images.count; id += 1) {
    const [px, py] = at(id);
    const along = (px - x) * dx + (py - y) * dy;
    const across = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    if (along > 3 && across <= along && along + across < least) [best, least] = [id, along + across];
  }
  if (best === null) return;
  bringIntoSight(best);
  point(best);
}

function bringIntoSight(id) {
  const [x, y] = place(id);
  const { clientWidth: width, clientHeight: height } = canvas;
  if (x < 0 || x > width) view.x += (x - width / 2) / view.zoom;
  if (y < 0 || y > height) view.y += (y - height / 2) / view.zoom;
}

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event) {
  if (event.key in KEYS) {
    stepTo(...KEYS[event.key]);
    if (event.shiftKey && view.under !== null) pick([view.under], "add");
  } else if (event.key === " " && view.under !== null) togglePicked(view.under);
  else if (event.key === "a" && (event.ctrlKey || event.metaKey)) pick(inSight(), "add");
  else if (event.key === "+" || event.key === "=") zoomBy(1.5);
  else if (event.key === "-") zoomBy(1 / 1.5);
  else if (event.key === "Enter" && view.under !== null) showImage([view.under], 0);
  else return;
  event.preventDefault();
}

function recolour() {
  const way = colourings()[document.getElementById("colour").value]();
  colours = Array.from({ length: state.images.count }, (_, id) => way.of(id));
  dyeDots((id) => colours[id]);
  shadeDots();
  document.getElementById("legend").replaceChildren(...way.legend.slice(0, 60).map(([colour, text]) =>
    el("span", {}, el("i", { style: { background: colour } }), text)));
  drawMap();
}

function startMap() {
  canvas = document.getElementById("map");
  const choice = document.getElementById("colour");
  choice.replaceChildren(...Object.keys(colourings()).map((name) => el("option", {}, name)));
  choice.addEventListener("change", recolour);
  fillBuckets();
  let from = null;
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (!fingers.size) moved = 0;
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (fingers.size > 1) { from = drawn.points = null; moved = Infinity; return; }
    from = [event.offsetX, event.offsetY];
    lassoBegins(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (fingers.size > 1) pinch(event);
    else if (from && event.buttons) {
      moved += Math.abs(event.offsetX - from[0]) + Math.abs(event.offsetY - from[1]);
      if (drawn.points) lassoMoves(event);
      else {
        view.x -= (event.offsetX - from[0]) / view.zoom;
        view.y -= (event.offsetY - from[1]) / view.zoom;
        moves();
      }
      from = [event.offsetX, event.offsetY];
      drawMap();
    } else point(nearest(event.offsetX, event.offsetY));
  });
  canvas.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    from = null;
    const selecting = drawn.points !== null || event.ctrlKey || event.metaKey;
    if (drawn.points && moved > 6) return lassoEnds();
    drawn.points = null;
    if (moved > 6) return;
    const id = nearest(event.offsetX, event.offsetY, 24);
    point(id);
    if (id !== null && selecting) togglePicked(id);
    else if (id !== null) showImage([id], 0);
  });
  canvas.addEventListener("pointercancel", (event) => { fingers.delete(event.pointerId); from = drawn.points = null; drawMap(); });
  canvas.addEventListener("pointerleave", (event) => { fingers.delete(event.pointerId); if (!drawn.points) { from = null; point(null); } });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== canvas) return; // then the page scrolls
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", onKey);
  document.getElementById("nearer").addEventListener("click", () => zoomBy(1.5));
  document.getElementById("farther").addEventListener("click", () => zoomBy(1 / 1.5));
  startLasso();
  new ResizeObserver(drawMap).observe(canvas);
  recolour();
}
