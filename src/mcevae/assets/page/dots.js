"use strict";
// The dots of the map, written pixel by pixel, since a canvas takes seconds for a million squares;
// and the images themselves, where few are in sight.

const BUDGET = 8; // milliseconds for the dots of a frame while the map moves
const NEAR = 120; // images in sight, at most, that are shown as pictures
const SHEETS = 2000; // files of pictures that are kept for the map, at most
const AGAIN = 5000; // milliseconds until a file that failed may be asked for again
const dots = { rgb: null, ink: null, picture: null, pixels: null, near: [], sheets: new Map(), cost: 0, step: 1 };
const brush = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

// A colour as a number, without its opacity: blue, green, red from the highest byte on.
function numbered(colour) {
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 1, 1);
  const [red, green, blue] = brush.getImageData(0, 0, 1, 1).data;
  return red | (green << 8) | (blue << 16);
}

function opaque(rgb, share) {
  return (rgb | (Math.round(255 * share) << 24)) >>> 0;
}

// The colour of each dot. There are few colours, so each is looked up once.
function dyeDots(of) {
  const known = new Map();
  dots.rgb = Uint32Array.from({ length: state.images.count }, (_, id) => {
    const colour = of(id);
    if (!known.has(colour)) known.set(colour, numbered(colour));
    return known.get(colour);
  });
}

// Junk is pale; if some images are selected, all others are.
function shadeDots() {
  const { count } = state.images;
  const usual = count > 5000 ? 0.7 : 0.9;
  dots.ink = dots.rgb.map((rgb, id) => opaque(rgb, usual * (picked.ids.size ? 0.35 : state.junk[id] ? 0.3 : 1)));
}

// A square of pixels. What reaches beyond the canvas is left out.
function stamp(left, top, side, colour) {
  const { width, height } = canvas;
  const [from, to] = [Math.max(0, left), Math.min(width, left + side)];
  if (from >= to) return;
  for (let row = Math.max(0, top); row < Math.min(height, top + side); row += 1) dots.pixels.fill(colour, row * width + from, row * width + to);
}

// Where dots lie on the canvas, in its own pixels: left + x * scale and top + y * scale.
function placing(ratio, side) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const reach = Math.min(width, height) - 24;
  return {
    scale: (reach * view.zoom * ratio) / 65535,
    left: ratio * (width / 2 - (reach / 2 + view.x) * view.zoom) - side / 2,
    top: ratio * (height / 2 - (reach / 2 + view.y) * view.zoom) - side / 2,
  };
}

// Write every dot, or one in `step`. Returns those in sight, if they are few.
function writeDots({ scale, left, top }, side, step) {
  const { ink, pixels } = dots;
  const { x, y, count } = state.images;
  const { width } = canvas;
  const [right, bottom] = [width - side, canvas.height - side];
  const near = [];
  for (let id = 0; id < count; id += step) {
    const across = left + x[id] * scale, down = top + y[id] * scale;
    if (across < 0 || down < 0 || across > right || down > bottom) continue;
    if (near.length <= NEAR) near.push(id);
    const colour = ink[id];
    let at = (down | 0) * width + (across | 0);
    for (let row = 0; row < side; row += 1, at += width) for (let i = 0; i < side; i += 1) pixels[at + i] = colour;
  }
  return near.length <= NEAR && step === 1 ? near : [];
}

// While the map moves, as many dots are drawn as there is time for, evenly spaced in their list.
// Selected images are drawn last, as many of them, larger and with a border.
function drawDots(pen, ratio) {
  const { width, height } = canvas;
  const { x, y, count } = state.images;
  if (dots.picture?.width !== width || dots.picture.height !== height) {
    dots.picture = new ImageData(width, height);
    dots.pixels = new Uint32Array(dots.picture.data.buffer);
  }
  dots.pixels.fill(0);
  const size = Math.max(1.5, Math.min(6, (count > 20000 ? 1.5 : 3) * Math.sqrt(view.zoom)));
  const side = Math.max(1, Math.round(size * ratio));
  const at = placing(ratio, side);
  const all = count + picked.ids.size;
  const step = view.moving ? Math.max(1, Math.ceil((all * dots.cost) / BUDGET)) : 1;
  dots.step = step;
  const from = performance.now();
  dots.near = writeDots(at, side, step);
  const border = opaque(numbered(getComputedStyle(canvas).color), 1);
  let turn = 0;
  for (const id of picked.ids) {
    turn += 1;
    if (turn % step) continue;
    const [across, down] = [Math.floor(at.left + x[id] * at.scale), Math.floor(at.top + y[id] * at.scale)];
    stamp(across - 2, down - 2, side + 4, border);
    stamp(across - 1, down - 1, side + 2, opaque(dots.rgb[id], 1));
  }
  dots.cost = ((performance.now() - from) * step) / Math.max(all, 1);
  pen.putImageData(dots.picture, 0, 0);
}

// A file of pictures. One that failed is asked for again when the map is drawn some time later.
function sheetOf(id) {
  const address = fileOf(state.images.thumbs, id);
  if (!dots.sheets.has(address)) {
    const sheet = new Image();
    sheet.onload = drawMap;
    sheet.onerror = () => setTimeout(() => {
      if (dots.sheets.get(address) === sheet) dots.sheets.delete(address);
    }, AGAIN);
    sheet.src = address;
    dots.sheets.set(address, sheet);
    if (dots.sheets.size > SHEETS) dots.sheets.delete(dots.sheets.keys().next().value); // the oldest
  }
  return dots.sheets.get(address);
}

// Where few images are in sight, each is shown as a picture with a border of its colour.
function drawNear(pen) {
  const { width, height, each, columns } = state.images.thumbs;
  for (const id of dots.near) {
    const sheet = sheetOf(id);
    if (!sheet.complete || !sheet.naturalWidth) continue; // it is on its way, or failed
    const [x, y] = place(id);
    const at = id % each, tall = (32 * height) / width;
    pen.strokeStyle = picked.ids.has(id) ? getComputedStyle(canvas).color : colours[id];
    pen.lineWidth = picked.ids.has(id) ? 4 : 2;
    pen.strokeRect(x - 16, y - tall / 2, 32, tall);
    pen.drawImage(sheet, (at % columns) * width, Math.floor(at / columns) * height, width, height, x - 16, y - tall / 2, 32, tall);
  }
}
