"use strict";
// The data of the page, and how they are read. All pages load this first.

const state = { images: null, groups: [], junk: null, tags: {}, selections: {}, outliers: [], findings: [], trust: null, of: null, strips: null, live: null };

const KINDS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };

function bytesOf(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = letters.charCodeAt(i); // Uint8Array.from takes ten times as long
  return bytes;
}

function unpacked(array) {
  return new KINDS[array.kind](bytesOf(array.data).buffer);
}

function readImages(images) {
  if (images.trust) images.trust = unpacked(images.trust);
  for (const name of ["split", "confidence", "outlier", "area", "brightness", "x", "y"]) images[name] = unpacked(images[name]);
  images.pose = images.pose.map(unpacked);
  images.z = images.z.map(unpacked);
  images.labels = images.labels && unpacked(images.labels);
  images.mirrored = images.mirrored && unpacked(images.mirrored);
  images.asFound = { pose: images.pose, mirrored: images.mirrored };
  state.images = images;
}

// The groups, and the poses in their frames, if somebody has turned one.
function readGroups(groups) {
  Object.assign(state, groups, { of: unpacked(groups.of), junk: unpacked(groups.junk) });
  const { turned } = groups;
  const poses = turned ? { pose: turned.pose.map(unpacked), mirrored: turned.mirrored && unpacked(turned.mirrored) } : state.images.asFound;
  Object.assign(state.images, poses);
}

// Make an element with attributes, listeners (functions) and children. Text is never read as markup.
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (name === "style") Object.assign(made.style, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const opened = new Map(); // addresses of sheets inside the page, each made once

function sheetAddress(address) {
  if (!address.startsWith("data:")) return address;
  if (!opened.has(address)) {
    const blob = new Blob([bytesOf(address.slice(address.indexOf(",") + 1))], { type: "image/webp" });
    opened.set(address, URL.createObjectURL(blob));
  }
  return opened.get(address);
}

// The file that has picture `index`: a sheet, or one that a server has of each picture.
function fileOf(sheets, index) {
  return sheets.address ? sheets.address.replace("ID", index) : sheetAddress(sheets.files[Math.floor(index / sheets.each)]);
}

// Style that shows picture `index` of the sheets, `width` pixels wide; `part` of `parts` side by side.
function pictureStyle(sheets, index, width, part = 0, parts = 1) {
  const place = index % sheets.each;
  const cell = width * parts;
  const height = (cell * sheets.height) / sheets.width;
  const column = place % sheets.columns;
  const row = Math.floor(place / sheets.columns);
  return {
    width: `${width}px`,
    height: `${height}px`,
    backgroundImage: `url("${fileOf(sheets, index)}")`,
    backgroundSize: `${sheets.columns * cell}px auto`,
    backgroundPosition: `-${column * cell + part * width}px -${row * height}px`,
  };
}

function nameOf(id) {
  return state.images.names ? state.images.names[id] : `image ${id}`;
}

function groupName(index) {
  return state.groups[index].name;
}

function percent(share) {
  return `${Math.round(100 * share)}\u00a0%`;
}

function poseText(id, t) {
  const { name, unit } = state.images.coordinates[t];
  const value = state.images.pose[t][id];
  const shown = unit === "deg" ? `${value.toFixed(1)}°` : `${value.toFixed(2)} ${unit}`;
  return [name.replaceAll("_", " "), shown];
}

// Numbers from 0 to 1 that each image has.
function shares() {
  const { images } = state;
  const found = { confidence: (id) => images.confidence[id] / 255, "outlier score": (id) => images.outlier[id] / 1000 };
  if (images.trust) found.trust = (id) => images.trust[id] / 255;
  return { ...found, area: (id) => images.area[id] / 65535, brightness: (id) => images.brightness[id] / 65535 };
}

// Coordinates of z, by their names.
function variations() {
  return Object.fromEntries(state.images.z.map((values, v) => [`variation ${v + 1}`, (id) => values[id]]));
}

function membersOf(group) {
  const members = [];
  state.of.forEach((own, id) => { if (own === group) members.push(id); });
  return members;
}

function yesNo(value) {
  return value ? "yes" : "no";
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const hues = new Map(); // each made once: the map asks for that of every image

// Colours that differ as much as possible, all of them as bright, so that none is lost on the ground.
function hue(index) {
  const key = dark.matches ? index : -1 - index;
  if (!hues.has(key)) {
    const light = (dark.matches ? 0.74 : 0.55) + (index % 2 ? 0.06 : -0.02);
    hues.set(key, `oklch(${light} 0.15 ${(index * 137.508 + 20) % 360})`);
  }
  return hues.get(key);
}
