"use strict";
// Lists of thumbnails. Click or Enter opens an image; its tick, Space, Ctrl and Shift select, and a
// finger that rests on it selects a range.

const SMALL = 56; // pixels
const HELD = 500; // milliseconds that such a finger rests
let anchor = null; // where a range begins

function isOutlier(id) {
  return state.images.outlier[id] >= 1000 * state.images.odd;
}

function tagsOf(id) {
  return Object.keys(state.tags ?? {}).filter((tag) => state.tags[tag].includes(id));
}

function describe(id) {
  const words = [nameOf(id), `group ${groupName(state.of[id])}`];
  if (isOutlier(id)) words.unshift("outlier");
  if (state.junk[id]) words.push("junk");
  return words.join(", ");
}

function thumb(id, at, size) {
  const marks = `thumb${isOutlier(id) ? " odd" : ""}${state.junk[id] ? " junk" : ""}`;
  return el("div", {
    class: marks, role: "option", "data-id": id, tabindex: at ? "-1" : "0", title: nameOf(id), "aria-label": describe(id),
    "aria-selected": String(picked.ids.has(id)), style: pictureStyle(state.images.thumbs, id, size),
  }, el("span", { class: "tick", "aria-hidden": "true" }));
}

// A list of images. `all` has those that are not shown yet; `key` names the list.
function thumbs(list, label, { size = SMALL, all = list, key = label } = {}) {
  const box = el("div", { class: "thumbs", role: "listbox", "aria-multiselectable": "true", "aria-label": label, "data-list": key });
  box.all = all;
  addThumbs(box, list, size);
  const wasHeld = holdable(box);
  box.addEventListener("click", (event) => {
    const one = event.target.closest(".thumb");
    if (one && !wasHeld()) clicked(box, one, event);
  });
  box.addEventListener("mousedown", (event) => { if (event.shiftKey) event.preventDefault(); }); // no text is selected
  box.addEventListener("keydown", (event) => onThumbKey(box, event));
  return box;
}

function addThumbs(box, list, size = SMALL) {
  const from = box.childElementCount;
  box.append(...list.map((id, i) => {
    const made = thumb(id, from + i, size);
    made.dataset.key = `${box.dataset.list} ${id}`;
    return made;
  }));
}

function clicked(box, one, event) {
  const id = +one.dataset.id;
  moveTo(box, one);
  if (event.shiftKey) pickRange(box.all, id);
  else if (event.ctrlKey || event.metaKey || event.target.matches(".tick")) startRange(box.all, id);
  else showImage(box.all, box.all.indexOf(id));
}

// A finger that rests on an image selects up to there, as Shift does. Returns whether the last one did.
function holdable(box) {
  let [waits, held] = [null, false];
  box.addEventListener("pointerdown", (event) => {
    const one = event.target.closest(".thumb");
    clearTimeout(waits);
    held = false;
    if (!one || event.pointerType !== "touch" || !event.isPrimary) return;
    waits = setTimeout(() => { held = true; pickRange(box.all, +one.dataset.id); }, HELD);
  });
  for (const ends of ["pointerup", "pointercancel"]) box.addEventListener(ends, () => clearTimeout(waits)); // a scroll cancels it
  box.addEventListener("contextmenu", (event) => { if (event.pointerType === "touch") event.preventDefault(); });
  return () => held;
}

// Select or deselect one image; a range may begin here.
function startRange(list, id) {
  anchor = id;
  togglePicked(id);
}

function pickRange(list, id) {
  const from = list.indexOf(anchor ?? id);
  const to = list.indexOf(id);
  const [low, high] = from < 0 ? [to, to] : [Math.min(from, to), Math.max(from, to)];
  if (from < 0) anchor = id;
  pick(list.slice(low, high + 1), "add");
}

function moveTo(box, one) {
  for (const other of box.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
  one.tabIndex = 0;
  one.focus();
}

function nextThumb(box, one, key) {
  const all = [...box.children];
  const at = all.indexOf(one);
  const row = Math.max(1, all.findIndex((other) => other.offsetTop > all[0].offsetTop));
  const across = all.at(-1).offsetTop > all[0].offsetTop ? row : all.length;
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - across, ArrowDown: at + across, Home: 0, End: all.length - 1 }[key];
  return to === undefined ? undefined : all[to] ?? one;
}

function onThumbKey(box, event) {
  const one = event.target.closest(".thumb");
  if (!one) return;
  const id = +one.dataset.id;
  const next = nextThumb(box, one, event.key);
  if (next) {
    if (event.shiftKey && anchor === null) anchor = id;
    moveTo(box, next);
    if (event.shiftKey) pickRange(box.all, +next.dataset.id);
  } else if (event.key === " ") event.shiftKey ? pickRange(box.all, id) : startRange(box.all, id);
  else if (event.key === "Enter") showImage(box.all, box.all.indexOf(id));
  else if (event.key === "a" && (event.ctrlKey || event.metaKey)) pick(box.all, "add");
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// Thumbnails, ticks of table rows, and ticks of groups show what is selected.
pickedViews.push(() => {
  document.body.classList.toggle("picking", picked.ids.size > 0);
  for (const one of document.querySelectorAll(".thumb[data-id]")) one.setAttribute("aria-selected", String(picked.ids.has(+one.dataset.id)));
  for (const one of document.querySelectorAll("input[data-id]")) one.checked = picked.ids.has(+one.dataset.id);
  const counts = pickedByGroup();
  for (const one of document.querySelectorAll("input[data-group]")) {
    const index = +one.dataset.group;
    one.checked = counts[index] === state.groups[index].size;
    one.indeterminate = counts[index] > 0 && !one.checked;
  }
});
