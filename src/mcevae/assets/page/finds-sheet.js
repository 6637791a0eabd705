"use strict";
// Going through the frames of the page without a server. All are in it; on a screen one is shown.

const frames = [...document.querySelectorAll("#frames > *")];
const player = document.getElementById("player");
const [before, play, after, slider, where] = ["before", "play", "after", "slider", "where"].map((id) => document.getElementById(id));
const PAUSE = 200; // milliseconds that a frame is shown
let shown = 0, timer = 0;

function show(index) {
  shown = Math.min(frames.length - 1, Math.max(0, index));
  frames.forEach((one, i) => one.classList.toggle("now", i === shown));
  slider.value = shown + 1;
  where.textContent = `Frame ${shown + 1} of ${frames.length}: ${frames[shown].dataset.name}`;
}

function stop() {
  clearInterval(timer);
  timer = 0;
  play.textContent = "Play";
  play.setAttribute("aria-pressed", "false");
}

function start() {
  if (shown === frames.length - 1) show(0);
  timer = setInterval(() => {
    show(shown + 1);
    if (shown === frames.length - 1) stop();
  }, PAUSE);
  play.textContent = "Pause";
  play.setAttribute("aria-pressed", "true");
}

function stepTo(index) {
  stop();
  show(index);
}

if (frames.length > 1) {
  slider.max = frames.length;
  player.hidden = false;
  document.getElementById("frames").classList.add("one");
  before.addEventListener("click", () => stepTo(shown - 1));
  after.addEventListener("click", () => stepTo(shown + 1));
  play.addEventListener("click", () => (timer ? stop() : start()));
  slider.addEventListener("input", () => stepTo(slider.value - 1));
  show(0);
}
