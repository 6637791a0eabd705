"use strict";
// What the page says about what was done. Good news leaves by itself, bad news when it is closed.

const LEAVES = 8000; // milliseconds
let leaving = null;

function say(text, bad = false) {
  const line = document.getElementById("said");
  clearTimeout(leaving);
  line.classList.toggle("error", bad);
  if (!text) return line.replaceChildren();
  line.replaceChildren(text, el("button", { type: "button", "aria-label": "close the message", click: () => say("") }, "×"));
  placeFoot();
  if (!bad) leaving = setTimeout(say, LEAVES, "");
}
