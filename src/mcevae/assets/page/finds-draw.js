"use strict";
// What is drawn on the picture: boxes, names, directions, paths, and the cross that adds a thing.

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]]; // so that groups can be told without colours
const NAMED = 14; // screen pixels of a box, at least, that gets its name
const adding = { on: false, x: 0, y: 0 }; // pixels of the frame

// Bright colours, since all of them lie on dark halos.
function ink(group) {
  return `oklch(${group % 2 ? 0.86 : 0.78} 0.15 ${(group * 137.508 + 20) % 360})`;
}

// Draw a line twice: a dark halo, then the colour.
function haloed(pen, colour, width, path, dash = []) {
  for (const [style, wide, pattern] of [["rgb(0 0 0 / .75)", width + 2.5, []], [colour, width, dash]]) {
    pen.strokeStyle = style;
    pen.lineWidth = wide;
    pen.setLineDash(pattern);
    pen.beginPath();
    path(pen);
    pen.stroke();
  }
  pen.setLineDash([]);
}

function drawPicture() {
  const canvas = byId("picture");
  const dense = Math.min(devicePixelRatio, 2);
  const [wide, tall] = canvasSize();
  Object.assign(canvas, { width: Math.round(wide * dense), height: Math.round(tall * dense) });
  const pen = canvas.getContext("2d");
  pen.scale(dense, dense);
  if (!finds.data) return;
  drawTiles(pen);
  drawPaths(pen);
  const chosen = chosenThing();
  for (const thing of shownThings()) if (thing !== chosen) drawThing(pen, thing, false);
  if (chosen) drawThing(pen, chosen, true);
  if (adding.on) drawCross(pen);
}

function drawThing(pen, thing, chosen) {
  const [left, top] = onScreen(thing.box_x, thing.box_y);
  const [width, height] = [thing.box_width * picture.scale, thing.box_height * picture.scale];
  const [wide, tall] = canvasSize();
  if (left > wide || top > tall || left + width < 0 || top + height < 0) return;
  const colour = ink(thing.group);
  pen.globalAlpha = thing.found || chosen ? 1 : 0.45;
  if (isOn("boxes") || chosen) {
    haloed(pen, colour, chosen ? 3 : 1.5, () => pen.rect(left, top, width, height), DASHES[thing.group % DASHES.length]);
  }
  if (chosen) haloed(pen, "#fff", 1, () => pen.rect(left - 4, top - 4, width + 8, height + 8));
  if (isOn("turns") && thing.rotation_deg !== null && thing.found) drawDirection(pen, thing, colour);
  if ((isOn("names") && Math.max(width, height) >= NAMED) || chosen) drawName(pen, thing, left, top, colour);
  pen.globalAlpha = 1;
}

// A line from the middle to where the upper side of the canonical image is now.
function drawDirection(pen, thing, colour) {
  const [x, y] = onScreen(thing.x, thing.y);
  const angle = (thing.rotation_deg * Math.PI) / 180;
  const reach = (0.5 * Math.max(thing.box_width, thing.box_height)) * picture.scale;
  haloed(pen, colour, 1.5, () => { pen.moveTo(x, y); pen.lineTo(x + reach * Math.sin(angle), y - reach * Math.cos(angle)); });
}

function drawName(pen, thing, left, top, colour) {
  const name = groupOf(thing);
  const text = `${name.length > 14 ? `${name.slice(0, 13)}…` : name}${thing.found ? "" : " (gap)"}`;
  pen.font = "600 12px system-ui, sans-serif";
  const width = pen.measureText(text).width + 6;
  pen.fillStyle = "rgb(0 0 0 / .75)";
  pen.fillRect(left - 1, top - 16, width, 15);
  pen.fillStyle = colour;
  pen.fillText(text, left + 2, top - 4);
}

function drawPaths(pen) {
  for (const { points, group } of finds.data.paths) {
    if (finds.hidden.has(group) || points.length < 2) continue;
    haloed(pen, ink(group), 1.5, () => points.forEach(([x, y], i) => (i ? pen.lineTo(...onScreen(x, y)) : pen.moveTo(...onScreen(x, y)))));
  }
}

function drawCross(pen) {
  const [x, y] = onScreen(adding.x, adding.y);
  haloed(pen, "#fff", 1.5, () => {
    pen.moveTo(x - 14, y); pen.lineTo(x + 14, y);
    pen.moveTo(x, y - 14); pen.lineTo(x, y + 14);
  });
}

// A sample of how a group is drawn, for the list of groups.
function swatch(group) {
  const canvas = el("canvas", { class: "swatch", width: "60", height: "32", "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#222";
  pen.fillRect(0, 0, 60, 32);
  pen.scale(2, 2);
  pen.strokeStyle = ink(group);
  pen.lineWidth = 2;
  pen.setLineDash(DASHES[group % DASHES.length]);
  pen.strokeRect(4, 4, 22, 8);
  return canvas;
}
