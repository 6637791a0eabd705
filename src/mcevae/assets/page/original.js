"use strict";
// The original of an image, as it lies in its file: zoom with wheel, fingers or keys, and move it.

const MOST_ZOOM = 64; // screen pixels for a pixel of the picture
const original = { bitmap: null, scale: 1, x: 0, y: 0, asked: 0 }; // x, y: its point in the middle

async function showOriginal(id) {
  const dialog = document.getElementById("original");
  const asked = ++original.asked;
  try {
    const answer = await fetch(`/api/images/${id}/original.png`);
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `the server refused the request (${answer.status})`);
    const bitmap = await createImageBitmap(await answer.blob());
    if (asked !== original.asked) return bitmap.close();
    original.bitmap?.close();
    original.bitmap = bitmap;
    const canvas = el("canvas", { class: "original", tabindex: "0", role: "img", "data-key": "original picture",
      "aria-label": `original of ${nameOf(id)}: plus and minus zoom, arrow keys move it, 0 shows all of it` });
    const button = (text, label, does) => el("button", { type: "button", "data-key": label, "aria-label": label, click: does }, text);
    fillDialog(dialog, dialogHead(dialog, `${nameOf(id)}: original`,
      button("−", "zoom out", () => zoomOriginal(1 / 1.5)), button("+", "zoom in", () => zoomOriginal(1.5)),
      button("all", "show all of it", fitOriginal)),
    el("p", { class: "small" }, answer.headers.get("X-Shown"), ". ", el("span", { id: "zoomed" })), canvas);
    movable(canvas, moveOriginal, zoomOriginal);
    openDialog(dialog);
    fitOriginal();
    canvas.focus();
  } catch (error) {
    say(error.message, true);
  }
}

function originalCanvas() {
  return document.querySelector("#original canvas");
}

function fitOriginal() {
  const { bitmap } = original;
  const { clientWidth, clientHeight } = originalCanvas();
  const scale = Math.min(clientWidth / bitmap.width, clientHeight / bitmap.height, MOST_ZOOM);
  Object.assign(original, { scale, x: bitmap.width / 2, y: bitmap.height / 2 });
  drawOriginal();
}

// Zoom, and keep the picture's point at (x, y), from the middle of the canvas, in its place.
function zoomOriginal(factor, x = 0, y = 0) {
  const least = Math.min(1, 50 / Math.max(original.bitmap.width, original.bitmap.height));
  const scale = Math.min(MOST_ZOOM, Math.max(least, original.scale * factor));
  const kept = 1 / original.scale - 1 / scale;
  Object.assign(original, { scale });
  moveOriginal(-x * kept * scale, -y * kept * scale);
}

// Move the picture by pixels of the screen. Its middle never leaves it.
function moveOriginal(right, down) {
  const { bitmap, scale } = original;
  original.x = Math.min(bitmap.width, Math.max(0, original.x - right / scale));
  original.y = Math.min(bitmap.height, Math.max(0, original.y - down / scale));
  drawOriginal();
}

function drawOriginal() {
  const canvas = originalCanvas();
  const { bitmap, scale, x, y } = original;
  const dense = devicePixelRatio;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  Object.assign(canvas, { width: width * dense, height: height * dense });
  const pen = canvas.getContext("2d");
  pen.scale(dense, dense);
  pen.imageSmoothingEnabled = scale < 1; // pixels stay pixels
  pen.drawImage(bitmap, width / 2 - x * scale, height / 2 - y * scale, bitmap.width * scale, bitmap.height * scale);
  document.getElementById("zoomed").textContent = `Zoom ${Math.round(100 * scale)} %`;
}

document.getElementById("original").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  if (moves[event.key]) moveOriginal(...moves[event.key]);
  else if (event.key === "+" || event.key === "=") zoomOriginal(1.5);
  else if (event.key === "-") zoomOriginal(1 / 1.5);
  else if (event.key === "0") fitOriginal();
  else return;
  event.preventDefault();
});

addEventListener("resize", () => { if (document.getElementById("original").open) drawOriginal(); });
