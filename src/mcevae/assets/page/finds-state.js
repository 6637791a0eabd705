"use strict";
// What the page of finds knows: frames, groups, the frame that is shown, and what is chosen in it.

const finds = {
  about: null, // files, frames, groups
  frame: 0, // number of the frame that is shown
  data: null, // its size, things and paths
  chosen: null, // id of a thing
  hidden: new Set(), // groups
  least: 0, // probability
  asked: 0, // number of the last request for a frame
};
const FIRST_BLACK = 2, FIRST_WHITE = 998; // of 1000, percentiles

function byId(id) {
  return document.getElementById(id);
}

function isOn(id) {
  return byId(id).checked;
}

function groupOf(thing) {
  return finds.about.groups[thing.group] ?? "?";
}

// Things that are shown now: those of the groups and probabilities that are asked for.
function shownThings() {
  return (finds.data?.things ?? []).filter((one) => !finds.hidden.has(one.group) && (one.probability ?? 1) >= finds.least);
}

function chosenThing() {
  return shownThings().find((one) => one.id === finds.chosen) ?? null;
}

function nameOfFrame(index) {
  const [file, number] = finds.about.frames[index];
  return `${finds.about.files[file]}${number ? ` #${number}` : ""}`;
}

function takeState(answer) {
  const { version, undo, redo, counts } = answer;
  Object.assign(finds.about, { version, undo, redo, counts });
}

function askFrame(index) {
  return ask(`/api/frames/${index}?past=${byId("past").value || 0}`);
}

// Show a frame when all that is seen of it is there. The promise says whether it is shown.
async function showFrame(index) {
  const asked = ++finds.asked;
  try {
    const data = await askFrame(index);
    const view = sameView(data) ? picture : fitted(data);
    await wantTiles(index, data, view);
    if (asked !== finds.asked) return false;
    Object.assign(finds, { frame: index, data });
    Object.assign(picture, view);
    takeState(data);
    byId("note").textContent = "";
  } catch (error) {
    if (asked !== finds.asked) return false;
    Object.assign(finds, { frame: index, data: null });
    byId("note").textContent = error.message;
  }
  drawAll();
  return true;
}

// Ask for the things of the frame again, such as after a change.
async function refreshFrame() {
  const asked = ++finds.asked;
  const data = await askFrame(finds.frame);
  if (asked !== finds.asked) return;
  finds.data = data;
  takeState(data);
  drawAll();
}

function drawAll() {
  drawWhere();
  drawGroups();
  drawList();
  drawBar();
  drawPicture();
}
