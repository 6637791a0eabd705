"use strict";
// Corrections: adding, deleting, another group; undo and redo.

let changing = Promise.resolve(); // one change after the other

function change(path, content, text) {
  changing = changing.then(async () => {
    try {
      const answer = await post(`/api/finds/${path}`, { ...content, version: finds.about.version });
      if (answer.added !== undefined) finds.chosen = answer.added;
      await refreshFrame();
      say(text);
      return true;
    } catch (error) {
      await refreshFrame().catch(() => {});
      say(error.message, true);
      return false;
    }
  });
  return changing;
}

function whole(thing) {
  return isOn("track") && thing.track !== null;
}

function drawBar() {
  const thing = chosenThing();
  byId("chosen").textContent = thing ? `${groupOf(thing)}${thing.track === null ? "" : `, track ${thing.track}`} is chosen` : "Nothing is chosen";
  const keep = () => {
    byId("delete").disabled = byId("change").disabled = !thing;
    byId("undo").disabled = !finds.about.undo;
    byId("redo").disabled = !finds.about.redo;
  };
  keepingFocus(keep, () => byId("picture"));
}

async function deleteChosen() {
  const thing = chosenThing();
  if (!thing) return;
  const things = shownThings();
  const next = things[things.indexOf(thing) + 1] ?? things[things.indexOf(thing) - 1];
  const listed = document.activeElement?.closest("#list") !== null;
  const done = await change("delete", { ids: [thing.id], track: whole(thing) }, `${groupOf(thing)}${whole(thing) ? `, track ${thing.track},` : ""} was deleted.`);
  if (!done) return;
  const there = next && shownThings().some((one) => one.id === next.id);
  choose(there ? next.id : null, listed && there);
  if (listed && !there) byId("list").focus();
}

function changeGroup() {
  const thing = chosenThing();
  if (!thing) return;
  const group = byId("group").value;
  change("group", { ids: [thing.id], track: whole(thing), group }, `${whole(thing) ? `Track ${thing.track}` : "It"} is in group ${group} now.`);
}

function addAt(x, y) {
  const group = byId("group").value;
  return change("add", { frame: finds.frame, x, y, group }, `A thing of group ${group} was added.`);
}

function startAdding(on) {
  adding.on = on && Boolean(finds.data);
  [adding.x, adding.y] = [picture.x, picture.y];
  byId("add").setAttribute("aria-pressed", String(adding.on));
  byId("picture").classList.toggle("adding", adding.on);
  const line = byId("adding");
  line.hidden = !adding.on;
  line.textContent = adding.on ? "Press the middle of a thing. With keys: the arrow keys move the cross, Enter adds, Escape ends." : "";
  if (adding.on) byId("picture").focus();
  drawPicture();
}

// Move the cross by pixels of the screen, and the picture with it where it leaves it.
function moveCross(right, down) {
  adding.x = Math.min(picture.width, Math.max(0, adding.x + right / picture.scale));
  adding.y = Math.min(picture.height, Math.max(0, adding.y + down / picture.scale));
  bringIntoSight(adding);
  drawPicture();
}

function undo() {
  if (finds.about.undo) change("undo", {}, "The last change was undone.");
}

function redo() {
  if (finds.about.redo) change("redo", {}, "It was done again.");
}
