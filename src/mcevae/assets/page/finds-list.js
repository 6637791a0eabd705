"use strict";
// The groups with their filter, and the list of the things of a frame.

const MOST_LISTED = 300;

function drawWhere() {
  const { frames } = finds.about;
  byId("where").textContent = `Frame ${finds.frame + 1} of ${frames.length}: ${nameOfFrame(finds.frame)}.`;
  byId("slider").value = finds.frame + 1;
  byId("slider").setAttribute("aria-valuetext", `${finds.frame + 1} of ${frames.length}`);
  byId("before").disabled = finds.frame === 0;
  byId("after").disabled = finds.frame === frames.length - 1;
  const { length } = shownThings();
  const more = finds.data?.more ? ` ${finds.data.more} more are not shown.` : "";
  byId("shown").textContent = finds.data ? `${length} thing${length === 1 ? "" : "s"}.${more}` : "";
}

function drawGroups() {
  const here = new Map();
  for (const { group, found } of finds.data?.things ?? []) if (found) here.set(group, (here.get(group) ?? 0) + 1);
  const { groups, counts } = finds.about;
  const used = groups.map((_, i) => i).filter((i) => counts[i] || here.get(i));
  keepingFocus(() => byId("groups").replaceChildren(...used.map((i) => el("label", {},
    el("input", { type: "checkbox", "data-key": `group ${i}`, checked: !finds.hidden.has(i), change: (event) => filterGroup(i, event.target.checked) }),
    swatch(i), `${groups[i]}: ${here.get(i) ?? 0} here, ${counts[i]} in all`))), () => byId("clusters"));
}

function filterGroup(group, shown) {
  if (shown) finds.hidden.delete(group);
  else finds.hidden.add(group);
  filtered();
}

function filtered() {
  if (!chosenThing()) finds.chosen = null;
  drawWhere();
  drawList();
  drawBar();
  drawPicture();
}

function wordsOf(thing) {
  const marks = { added: "added", group: "changed" };
  const words = [thing.track === null ? null : `track ${thing.track}`, thing.found ? null : "gap", marks[thing.corrected] ?? null];
  return words.filter((word) => word !== null).join(", ");
}

function drawList() {
  const things = shownThings();
  const at = Math.max(0, things.findIndex((one) => one.id === finds.chosen));
  const first = Math.max(0, Math.min(at - MOST_LISTED / 2, things.length - MOST_LISTED));
  const listed = things.slice(first, first + MOST_LISTED);
  keepingFocus(() => byId("list").replaceChildren(...listed.map((thing, i) => {
    const probability = thing.probability === null ? "" : thing.probability.toFixed(2);
    return el("div", { class: "thing", role: "option", id: `thing-${thing.id}`, "data-key": `thing ${thing.id}`, "aria-selected": String(thing.id === finds.chosen),
      "aria-setsize": String(things.length), "aria-posinset": String(first + i + 1), tabindex: first + i === at ? "0" : "-1", click: () => choose(thing.id, true) },
    swatch(thing.group), el("b", {}, groupOf(thing)), el("i", {}, wordsOf(thing)), el("i", {}, probability));
  })), () => byId("list"));
  byId("list").tabIndex = things.length ? -1 : 0;
  const rest = things.length - listed.length;
  byId("more").textContent = rest > 0 ? `${rest} more; the arrow keys go on to them.` : "";
}

// Choose a thing; null: none. `focus`: the keyboard goes to it in the list.
function choose(id, focus = false) {
  finds.chosen = id;
  drawList();
  drawBar();
  bringIntoSight(chosenThing());
  drawPicture();
  const option = id === null ? null : byId(`thing-${id}`);
  option?.scrollIntoView({ block: "nearest" });
  if (focus) option?.focus();
}

function bringIntoSight(thing) {
  if (!thing) return;
  const [x, y] = onScreen(thing.x, thing.y);
  const [wide, tall] = canvasSize();
  if (x >= 0 && y >= 0 && x <= wide && y <= tall) return;
  Object.assign(picture, { x: thing.x, y: thing.y });
  seeMore();
}

// Choose the thing so many places further on; the ends are joined.
function chooseNext(step, focus = false) {
  const things = shownThings();
  if (!things.length) return;
  const at = things.findIndex((one) => one.id === finds.chosen);
  const next = at < 0 ? (step > 0 ? 0 : things.length - 1) : (at + step + things.length) % things.length;
  choose(things[next].id, focus);
}

// The smallest thing whose box has a place.
function thingAt(x, y) {
  const slack = 4 / picture.scale;
  const around = (one) => x >= one.box_x - slack && y >= one.box_y - slack && x <= one.box_x + one.box_width + slack && y <= one.box_y + one.box_height + slack;
  const area = (one) => one.box_width * one.box_height;
  return shownThings().filter(around).sort((a, b) => area(a) - area(b))[0] ?? null;
}

byId("list").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const things = shownThings();
  const at = things.findIndex((one) => `thing-${one.id}` === document.activeElement.id);
  const ends = { Home: 0, End: things.length - 1, ArrowDown: Math.min(at + 1, things.length - 1), ArrowUp: Math.max(at - 1, 0) };
  if (event.key in ends && things.length) choose(things[ends[event.key]].id, true);
  else if ((event.key === "Enter" || event.key === " ") && at >= 0) choose(things[at].id, true);
  else if (event.key === "Delete" || event.key === "Backspace") deleteChosen();
  else if (event.key === "Escape") choose(null);
  else return;
  event.preventDefault();
});
