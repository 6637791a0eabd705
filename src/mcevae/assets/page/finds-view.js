"use strict";
// The picture of a frame: which part of it is seen, and the tiles that show it.

const MOST_NEAR = 32; // screen pixels for a pixel of the frame
const MOST_TILES = 300; // that are kept
const picture = { scale: 1, x: 0, y: 0, width: 0, height: 0, whole: true }; // x, y: its point in the middle
const tiles = new Map(); // by address: { bitmap, refusal, promise }

function canvasSize() {
  const { clientWidth, clientHeight } = byId("picture");
  return [clientWidth, clientHeight];
}

function sameView({ width, height }) {
  return picture.width === width && picture.height === height;
}

// The view that shows all of a frame.
function fitted({ width, height }) {
  const [wide, tall] = canvasSize();
  return { width, height, whole: true, x: width / 2, y: height / 2, scale: Math.min(wide / width, tall / height, MOST_NEAR) };
}

function fitFrame() {
  if (!finds.data) return;
  Object.assign(picture, fitted(finds.data));
  seeMore();
}

// Zoom, and keep the frame's point at (x, y), from the middle of the canvas, in its place.
function zoomFrame(factor, x = 0, y = 0) {
  if (!finds.data) return;
  const least = Math.min(1, fitted(finds.data).scale / 2);
  const scale = Math.min(MOST_NEAR, Math.max(least, picture.scale * factor));
  const kept = (1 / picture.scale - 1 / scale) * scale;
  picture.scale = scale;
  moveFrame(-x * kept, -y * kept);
}

// Move the picture by pixels of the screen. Its middle never leaves it.
function moveFrame(right, down) {
  picture.whole = false;
  picture.x = Math.min(picture.width, Math.max(0, picture.x - right / picture.scale));
  picture.y = Math.min(picture.height, Math.max(0, picture.y - down / picture.scale));
  seeMore();
}

function onScreen(x, y) {
  const [wide, tall] = canvasSize();
  return [wide / 2 + (x - picture.x) * picture.scale, tall / 2 + (y - picture.y) * picture.scale];
}

function inFrame(right, down) { // from the middle of the canvas
  return [picture.x + right / picture.scale, picture.y + down / picture.scale];
}

function levelOf(data, view) {
  const wanted = Math.floor(Math.log2(1 / (view.scale * Math.min(devicePixelRatio, 2))) + 0.25);
  return Math.min(data.levels - 1, Math.max(0, wanted));
}

function tileAddress(index, data, kind, level, row, column) {
  const version = kind === "residual" ? `&version=${data.version}` : "";
  return `/api/frames/${index}/${kind}.png?level=${level}&row=${row}&column=${column}&black=${byId("black").value}&white=${byId("white").value}${version}`;
}

// The tiles of a level that are seen: [row, column].
function seenTiles(data, view, level) {
  const [wide, tall] = canvasSize();
  const reach = finds.about.side * 2 ** level;
  const ends = (middle, screen, length) => {
    const first = Math.max(0, Math.floor((middle - screen / 2 / view.scale) / reach));
    const last = Math.min(Math.ceil(length / reach) - 1, Math.floor((middle + screen / 2 / view.scale) / reach));
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
  };
  const columns = ends(view.x, wide, data.width);
  return ends(view.y, tall, data.height).flatMap((row) => columns.map((column) => [row, column]));
}

function wantTile(address) {
  let tile = tiles.get(address);
  if (!tile) {
    tile = { bitmap: null, refusal: null };
    tile.promise = readTile(tile, address);
    for (const [old, kept] of tiles) {
      if (tiles.size < MOST_TILES) break;
      kept.bitmap?.close();
      tiles.delete(old);
    }
  }
  tiles.delete(address); // the last ones are kept
  tiles.set(address, tile);
  return tile;
}

async function readTile(tile, address) {
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `the server refused the request (${answer.status})`);
    tile.bitmap = await createImageBitmap(await answer.blob());
  } catch (error) {
    tile.refusal = error.message;
  }
}

// Ask for all tiles that a view of a frame needs, and wait until they are there.
async function wantTiles(index, data, view) {
  const level = levelOf(data, view);
  const kinds = isOn("residual") ? ["picture", "residual"] : ["picture"];
  const wanted = [[data.levels - 1, [[0, 0]], "picture"], ...kinds.map((kind) => [level, seenTiles(data, view, level), kind])];
  await Promise.all(wanted.flatMap(([at, places, kind]) => places.map(([row, column]) => wantTile(tileAddress(index, data, kind, at, row, column)).promise)));
}

let seeing = 0;
async function seeMore() {
  drawPicture();
  const now = ++seeing;
  if (!finds.data) return;
  await wantTiles(finds.frame, finds.data, picture);
  if (now === seeing) drawPicture();
}

function drawTiles(pen) {
  const { data, frame } = finds;
  const level = levelOf(data, picture);
  const draw = (kind, at) => {
    const reach = finds.about.side * 2 ** at;
    let refusal = null;
    for (const [row, column] of seenTiles(data, picture, at)) {
      const tile = tiles.get(tileAddress(frame, data, kind, at, row, column));
      refusal ??= tile?.refusal ?? null;
      if (!tile?.bitmap) continue;
      const [left, top] = onScreen(column * reach, row * reach);
      const [right, bottom] = onScreen(Math.min(data.width, (column + 1) * reach), Math.min(data.height, (row + 1) * reach));
      pen.drawImage(tile.bitmap, left, top, right - left, bottom - top);
    }
    return refusal;
  };
  pen.imageSmoothingEnabled = picture.scale < 2; // pixels stay pixels
  const refusals = [draw("picture", data.levels - 1), level < data.levels - 1 ? draw("picture", level) : null];
  if (isOn("residual")) refusals.push(draw("residual", level));
  byId("note").textContent = refusals.find((text) => text) ?? "";
}
