"use strict";
// Two groups side by side in a dialog.

const PLACES = ["first", "second"];
let sides = []; // ids of the two groups

// A group, and at first the one that is most like it.
function showCompare(index) {
  const { id, alike } = state.groups[index];
  sides = [id, alike];
  drawCompare();
  openDialog(document.getElementById("compare"));
}

function drawCompare() {
  const dialog = document.getElementById("compare");
  const both = sides.map((id) => state.groups.findIndex((group) => group.id === id));
  const merge = state.live ? state.live.mergeTwo(both.map((index) => state.groups[index])) : [];
  const head = dialogHead(dialog, "Two groups side by side", ...merge);
  keepingFocus(() => {
    fillDialog(dialog, head, el("div", { class: "sides" }, ...both.map(sideOf)), ...differences(both));
  }, () => head.querySelector("[data-key^=close]"));
}

// After groups have changed: one that is gone cannot be compared any more.
function refreshCompare() {
  const dialog = document.getElementById("compare");
  const filled = new Set(state.groups.filter(({ size }) => size).map(({ id }) => id));
  if (!dialog.open) return;
  if (sides.every((id) => filled.has(id))) drawCompare();
  else dialog.close();
}

function sideOf(index, place) {
  const group = state.groups[index];
  const members = membersOf(index);
  const where = `compare ${place} `;
  const part = (...content) => el("div", {}, ...content);
  return el("section", { class: "side", "aria-label": `${PLACES[place]} group: ${group.name}` },
    part(el("h3", {}, `Group ${group.name}`), sideChoice(group, place)), el("div", { class: "row" }, canonicalFigure(group), averageFigure(group, index, where)),
    part(...groupLines(group, members)), part(...examples(group, "typical", where)), part(...examples(group, "doubtful", where)),
    part(...averageFacts(group)), part(el("h4", {}, "Poses"), el("div", { class: "plots" }, ...posePlots(members, group.degrees))));
}

// The groups that can stand at a place: all that have images, but not the one beside it.
function sideChoice(group, place) {
  const choice = el("select", { "aria-label": `${PLACES[place]} group`, "data-key": `compare ${place} choice`, change: () => { sides[place] = choice.value; drawCompare(); } },
    ...state.groups.filter(({ size }) => size).map(({ id, name, size }) => el("option", {
      value: id, selected: id === group.id, disabled: id === sides[1 - place],
    }, `${name} (${size})`)));
  return choice;
}

// Mean and variance of numbers.
function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return [mean, values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length];
}

// Groups whose images are all alike have no spread, and would be infinitely far apart.
const FARTHEST = 100;

// In which numbers the images of two groups differ, those that differ most first. Trust is left out: it is one for a group.
function differences(both) {
  const members = both.map(membersOf);
  const rows = Object.entries(shares()).filter(([name]) => name !== "trust").map(([name, of]) => {
    const [[a, u], [b, v]] = members.map((ids) => spread(ids.map(of)));
    return { name, means: [a, b], apart: a === b ? 0 : Math.min(Math.abs(a - b) / Math.sqrt((u + v) / 2), FARTHEST) };
  }).sort((one, other) => other.apart - one.apart);
  const heads = ["mean of the images", ...both.map((index) => `group ${groupName(index)}`), "apart"];
  return [el("h3", {}, "On what they differ"),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "on what they differ" }, el("table", {},
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...rows.map(({ name, means, apart }) => el("tr", {}, el("th", { scope: "row" }, name),
        ...means.map((mean) => el("td", { class: "number" }, mean.toFixed(3))), el("td", { class: "number" }, apart < FARTHEST ? apart.toFixed(1) : `${FARTHEST} or more`)))))),
    el("p", { class: "soft small" }, "Apart is the difference of the two means, in standard deviations of the images within a group: below 0.5 the groups overlap, from 2 on they hardly do.")];
}
