"use strict";
// Fills and moves the map for map_frames.py. The scripts of the page come before this one.

function fill(count) {
  const draw = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const part = (value) => Math.min(65535, Math.max(0, Math.round(65535 * value)));
  const of = Uint16Array.from({ length: count }, () => Math.floor(30 * Math.random()));
  const middles = Array.from({ length: 30 }, () => [0.1 + 0.8 * Math.random(), 0.1 + 0.8 * Math.random()]);
  const axis = (i) => Uint16Array.from(of, (k) => part(middles[k][i] + 0.025 * draw()));
  const zeros = new Uint16Array(count);
  const picture = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
  picture.getContext("2d").fillRect(8, 8, 16, 16);
  const thumbs = { width: 32, height: 32, columns: 1, each: 1, files: new Array(count).fill(picture.toDataURL("image/webp")) };
  Object.assign(state, { of, junk: new Uint8Array(count), groups: middles.map((_, i) => ({ name: String(i) })) });
  state.images = {
    count, x: axis(0), y: axis(1), area: zeros, brightness: zeros, z: [], coordinates: [], split: zeros, splits: ["train"],
    confidence: zeros, outlier: zeros, odd: 0.99, names: null, thumbs,
  };
  startMap();
}

const middle = (values) => +values.sort((a, b) => a - b)[values.length >> 1].toFixed(1);

// Set the view anew in each frame for three seconds.
async function motion(change) {
  const own = drawDots;
  const spent = [], drawn = [];
  drawDots = (...given) => {
    const from = performance.now();
    own(...given);
    spent.push(performance.now() - from);
    drawn.push(Math.ceil(state.images.count / dots.step));
  };
  const next = () => new Promise(requestAnimationFrame);
  await next();
  let frames = 0;
  const start = performance.now();
  while (performance.now() - start < 3000) {
    change((performance.now() - start) / 500);
    moves();
    await next();
    frames += 1;
  }
  const seconds = (performance.now() - start) / 1000;
  drawDots = own;
  return { frames_a_second: +(frames / seconds).toFixed(1), script_ms: middle(spent), dots_drawn: middle(drawn) };
}

// Milliseconds for all dots.
function atRest() {
  clearTimeout(view.moving);
  view.moving = null;
  const pen = canvas.getContext("2d");
  return middle(Array.from({ length: 9 }, () => {
    const from = performance.now();
    drawDots(pen, 1);
    return performance.now() - from;
  }));
}
