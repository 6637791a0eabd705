"use strict";
// Brings the page of finds to life.

const MOVE = 60; // screen pixels of an arrow key

function pressed(x, y) { // from the middle of the canvas
  const at = inFrame(x, y);
  if (adding.on) {
    [adding.x, adding.y] = at;
    addAt(...at);
  } else {
    choose(thingAt(...at)?.id ?? null);
  }
}

const KEYS = {
  "+": () => zoomFrame(1.5), "=": () => zoomFrame(1.5), "-": () => zoomFrame(1 / 1.5), "0": fitFrame,
  ",": () => stepFrame(-1), ".": () => stepFrame(1), PageUp: () => stepFrame(-1), PageDown: () => stepFrame(1), " ": playOrStop,
  n: () => chooseNext(1), p: () => chooseNext(-1), a: () => startAdding(!adding.on), g: () => byId("group").focus(),
  r: () => byId("residual").click(), Delete: deleteChosen, Backspace: deleteChosen,
  Enter: () => { if (adding.on) addAt(adding.x, adding.y); },
  Escape: () => { if (adding.on) startAdding(false); else choose(null); },
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

byId("picture").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key];
  const step = adding.on ? (event.shiftKey ? 30 : 3) : -MOVE;
  const does = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (arrow) (adding.on ? moveCross : moveFrame)(arrow[0] * step, arrow[1] * step);
  else if (does) does();
  else return;
  event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
  const key = event.key.toLowerCase();
  if (key === "y" || (key === "z" && event.shiftKey)) redo();
  else if (key === "z") undo();
  else return;
  event.preventDefault();
});

function contrast() {
  const [black, white] = [byId("black"), byId("white")];
  if (Number(black.value) >= Number(white.value)) {
    if (document.activeElement === white) black.value = Math.max(0, white.value - 10);
    else white.value = Number(black.value) + 10;
  }
  for (const one of [black, white]) {
    byId(`${one.id}shown`).textContent = (one.value / 10).toFixed(1);
    one.setAttribute("aria-valuetext", (one.value / 10).toFixed(1));
  }
  if (finds.data) seeMore();
}

function firstContrast() {
  byId("black").value = FIRST_BLACK;
  byId("white").value = FIRST_WHITE;
  contrast();
}

function wire() {
  movable(byId("picture"), moveFrame, zoomFrame, pressed);
  const clicks = { nearer: () => zoomFrame(1.5), farther: () => zoomFrame(1 / 1.5), fit: fitFrame, auto: firstContrast, add: () => startAdding(!adding.on),
    change: changeGroup, delete: deleteChosen, undo, redo };
  for (const [id, does] of Object.entries(clicks)) byId(id).addEventListener("click", does);
  for (const id of ["boxes", "names", "turns"]) byId(id).addEventListener("change", drawPicture);
  byId("residual").addEventListener("change", seeMore);
  let waiting = null;
  for (const id of ["black", "white"]) byId(id).addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(contrast, 120); });
  byId("least").addEventListener("input", (event) => {
    finds.least = Number(event.target.value);
    byId("leastshown").textContent = finds.least.toFixed(2);
    filtered();
  });
  addEventListener("resize", () => { if (finds.data) (picture.whole ? fitFrame : seeMore)(); });
  addEventListener("hashchange", () => { const index = asked(); if (index !== finds.frame) goTo(index); });
}

// The frame that the address asks for: #frame=3 is the third.
function asked() {
  const number = Number(/^#frame=(\d+)$/.exec(location.hash)?.[1] ?? 1);
  return Math.min(finds.about.frames.length, Math.max(1, number)) - 1;
}

async function start() {
  try {
    finds.about = await ask("/api/frames");
    byId("group").replaceChildren(...finds.about.groups.map((name) => el("option", { value: name }, name)));
    startPlayer();
    wire();
    firstContrast();
    await goTo(asked());
  } catch (error) {
    say(error.message, true);
  }
}

start();
