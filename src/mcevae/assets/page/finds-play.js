"use strict";
// Going through frames: the slider, the buttons, and playing.

const SPEEDS = [1, 2, 5, 10, 25, 50]; // frames a second
let playing = null; // the number of this playing

function goTo(index) {
  const last = finds.about.frames.length - 1;
  return showFrame(Math.min(last, Math.max(0, index)));
}

async function play() {
  const own = playing = {};
  drawPlay();
  if (finds.frame === finds.about.frames.length - 1) await goTo(0);
  while (playing === own && finds.frame < finds.about.frames.length - 1) {
    const due = performance.now() + 1000 / Number(byId("speed").value);
    await goTo(finds.frame + 1);
    await new Promise((done) => setTimeout(done, Math.max(0, due - performance.now())));
  }
  if (playing === own) stop();
}

function stop() {
  playing = null;
  drawPlay();
}

function playOrStop() {
  if (playing) stop();
  else play();
}

function drawPlay() {
  byId("play").textContent = playing ? "Pause" : "Play";
  byId("play").setAttribute("aria-pressed", String(Boolean(playing)));
}

function stepFrame(step) {
  stop();
  return goTo(finds.frame + step);
}

function startPlayer() {
  const { length } = finds.about.frames;
  byId("slider").max = length;
  byId("speed").replaceChildren(...SPEEDS.map((speed) => el("option", { value: speed, selected: speed === 10 }, `${speed} a second`)));
  byId("past").replaceChildren(...[["0", "none"], ["10", "last 10"], ["50", "last 50"], ["-1", "whole"]].map(([value, text]) =>
    el("option", { value, selected: value === (finds.about.tracked ? "50" : "0") }, text)));
  byId("before").addEventListener("click", () => stepFrame(-1));
  byId("after").addEventListener("click", () => stepFrame(1));
  byId("play").addEventListener("click", playOrStop);
  byId("slider").addEventListener("input", (event) => { stop(); goTo(event.target.value - 1); });
  byId("past").addEventListener("change", refreshFrame);
  for (const id of ["play", "slider", "speed"]) byId(id).disabled = length < 2;
}
