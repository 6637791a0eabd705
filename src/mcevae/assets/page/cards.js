"use strict";
// The tools on the card of a group.

// Name a group, split it, turn its frame, and call it junk.
function groupTools(index) {
  if (answer === "first") return null;
  const { id, name, turned, junk, made } = state.groups[index];
  const field = el("input", { value: name, maxlength: "80", "data-key": `name ${id}`, "aria-label": `name of group ${name}` });
  const rename = () => {
    if (field.value.trim() !== name) regroup("rename", { group: id, name: field.value }, `Group ${name} is now ${field.value}.`);
  };
  const tools = el("form", { class: "row tools", submit: (event) => { event.preventDefault(); rename(); } },
    field, el("button", { "data-key": `rename ${id}` }, "Name"), made ? null : splitButton(id, name));
  return el("div", {}, tools, ...(made ? [] : [turnTools(id, name, turned)]), judgeTools(id, name, junk), ...halfTools(id, name));
}

function splitButton(id, name) {
  return el("button", { type: "button", "data-key": `split ${id}`, click: () => regroup("split", { group: id }, `Group ${name} is split.`) }, "Split");
}

// Split a group in two by what its images alone say: their places on the map, or their poses.
function halfTools(id, name) {
  if (!state.images.names) return [];
  const half = (by, text) => el("button", {
    type: "button", "data-key": `split by ${by} ${id}`, "aria-label": `split group ${name} by ${text}`,
    click: () => regroup("split", { group: id, by }, `Group ${name} is split by ${text}.`),
  }, text);
  return [el("div", { class: "row turns" }, el("span", { class: "soft small" }, "Split in two by"), half("map", "place on the map"), half("pose", "pose"))];
}

// Whether a group is junk.
function judgeTools(id, name, junk) {
  const word = junk ? "Keep" : "Junk";
  const change = () => regroup("judge", { group: id, junk: !junk }, `Group ${name} is ${junk ? "kept" : "junk"}.`);
  return el("div", { class: "row turns" },
    el("span", { class: "soft small" }, junk ? "It is junk" : "It is kept"),
    el("button", { type: "button", "data-key": `judge ${id}`, "aria-label": `${word} group ${name}`, click: change }, word));
}

// Which way is up in a group: turn its canonical image, or mirror it.
function turnTools(id, name, turned) {
  const turn = (text, title, change) => el("button", {
    type: "button", title, "data-key": `${title} ${id}`, "aria-label": `${title} of group ${name}`,
    click: () => regroup("turn", { group: id, ...change }, `The frame of group ${name} is turned.`),
  }, text);
  return el("div", { class: "row turns" }, el("span", { class: "soft small" }, "Which way is up"),
    turn("↺ 15°", "turn the frame left by 15 degrees", { degrees: -15 }),
    turn("↻ 15°", "turn the frame right by 15 degrees", { degrees: 15 }),
    ...(state.images.mirrored ? [turn("mirror", "mirror the frame", { flip: true })] : []),
    turned ? el("span", { class: "soft small" }, `by hand: ${turned}`) : null);
}
