"use strict";
// The bar: how many images are selected, and what can be done with them. It is always in sight.

function barButton(text, act, { label = text, disabled = false, hidden = false } = {}) {
  return el("button", { type: "button", "data-key": `bar ${text.split(" ")[0]}`, "aria-label": label === text ? null : label, disabled, hidden, click: act }, text);
}

function drawBar() {
  const bar = document.querySelector("#bar > .inside");
  const { size } = picked.ids;
  const some = { hidden: !size };
  const told = size ? `${pickedText()} selected` : "No image is selected";
  keepingFocus(() => bar.replaceChildren(
    el("b", { id: "count", role: "status" }, told),
    el("div", { class: "row" },
      barButton("Choose…", showChoose, { label: "Choose images" }),
      barButton("Show", showSelection, { ...some, label: "Show the selected images" }),
      barButton("Invert", invertPicked, { label: "Invert the selection" }),
      barButton("Clear", () => pick([]), { ...some, label: "Clear the selection" }),
      ...(state.live ? state.live.actions(size) : []),
      barButton("Take away…", showTake, { ...some, label: "Take the selection away" }),
      ...(state.live ? state.live.steps() : [])),
  ), () => bar.querySelector("button"));
}

function startBar() {
  pickedViews.push(drawBar);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input:not([type=checkbox]), select, textarea");
    if (event.key !== "Escape" || dialogs.length || typing) return;
    if (document.getElementById("said").childNodes.length) say("");
    else pick([]);
  });
  drawBar();
}
