"use strict";
// The selection: which images are selected. Every view shows it, and every action is on it.

const picked = { ids: new Set(), order: [] }; // order: ids of groups, as they were ticked
const pickedViews = []; // functions that show the selection anew

// What becomes of the selection when images are chosen.
const HOWS = { replace: "select only these", add: "add them", remove: "take them out", within: "keep only these of the selected" };

function showPicked() {
  for (const show of pickedViews) show();
}

function pick(ids, how = "replace") {
  const given = new Set(ids);
  const old = picked.ids;
  if (how === "add") picked.ids = new Set([...old, ...given]);
  else if (how === "remove") picked.ids = new Set([...old].filter((id) => !given.has(id)));
  else if (how === "within") picked.ids = new Set([...old].filter((id) => given.has(id)));
  else picked.ids = given;
  showPicked();
}

function togglePicked(id) {
  pick([id], picked.ids.has(id) ? "remove" : "add");
}

function everyImage() {
  return Array.from({ length: state.images.count }, (_, id) => id);
}

function invertPicked() {
  pick(everyImage().filter((id) => !picked.ids.has(id)));
}

// Numbers of the selected images, from low to high.
function pickedIds() {
  return [...picked.ids].sort((a, b) => a - b);
}

// How many images of each group are selected.
function pickedByGroup() {
  const counts = new Array(state.groups.length).fill(0);
  for (const id of picked.ids) counts[state.of[id]] += 1;
  return counts;
}

// Select all images of a group, or none of them.
function pickGroup(index, on) {
  const { id } = state.groups[index];
  picked.order = [...picked.order.filter((one) => one !== id), ...(on ? [id] : [])];
  pick(membersOf(index), on ? "add" : "remove");
}

// Groups of which all images are selected, in the order in which they were ticked.
function wholeGroups() {
  const counts = pickedByGroup();
  const place = ({ id }) => { const at = picked.order.indexOf(id); return at < 0 ? Infinity : at; };
  const whole = state.groups.filter((group, i) => group.size && counts[i] === group.size);
  return whole.sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
}

function pickedText() {
  const { size } = picked.ids;
  return `${size.toLocaleString("en")} ${size === 1 ? "image" : "images"}`;
}

function samePicked(ids) {
  return ids.length === picked.ids.size && ids.every((id) => picked.ids.has(id));
}
