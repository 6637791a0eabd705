"use strict";
// Changes of the groups.

const answer = document.body.dataset.stage; // first, quick or last

function showGroups(groups) {
  readGroups(groups);
  keepingFocus(() => {
    drawOverview();
    drawGroups();
    refreshList();
    refreshCompare();
    nameClusters();
  }, () => dialogs.at(-1) ?? document.getElementById("clusters"));
  recolour();
}

let changing = Promise.resolve(); // one change after the other

// Each change says which groups it was made from. If they have changed since, it shows the new ones.
// The promise says whether it was done.
function change(path, content, text) {
  changing = changing.then(async () => {
    try {
      showGroups(await post(path, { ...content, version: state.version }));
      say(text);
      return true;
    } catch (error) {
      if (error.now) showNow(error.now, content);
      else say(error.message, true);
      return false;
    }
  });
  return changing;
}

function regroup(path, content, text) {
  return change(`/api/groups/${path}`, content, text);
}

// Show what somebody else has made of the groups, and keep what was asked for in the fields.
function showNow(groups, { group, name }) {
  const before = new Map(state.groups.map((one) => [one.id, one]));
  showGroups(groups);
  const changes = whatChanged(before);
  for (const id of changes.ids) cardOf(id)?.classList.add("changed");
  if (name !== undefined && cardOf(group)) cardOf(group).querySelector("form input").value = name;
  const asked = name === undefined ? "Do it again if you still want it." : `Press Name again if you still want "${name}".`;
  say(`This was not done, because the groups were changed in another place: ${changes.text}. ${asked}`, true);
}

// How groups differ from those before, by their ids: in words, and which of them are there now.
function whatChanged(before) {
  const ids = [], words = [];
  for (const one of state.groups) {
    const old = before.get(one.id);
    if (old && old.name === one.name && old.size === one.size && old.turned === one.turned && old.junk === one.junk) continue;
    ids.push(one.id);
    if (!old) words.push(`group ${one.name} is new`);
    else if (old.name !== one.name) words.push(`group ${old.name} is now ${one.name}`);
    else if (old.junk !== one.junk) words.push(`group ${one.name} is ${one.junk ? "junk" : "kept"}`);
    else words.push(old.size === one.size ? `the frame of group ${one.name} is turned` : `group ${one.name} has ${one.size} images`);
  }
  const now = new Set(state.groups.map((one) => one.id));
  const gone = [...before.values()].filter((one) => !now.has(one.id)).map((one) => `group ${one.name} is gone`);
  const all = [...words, ...gone];
  const more = all.length > 3 ? [`and ${all.length - 3} more changes`] : [];
  return { ids, text: [...all.slice(0, 3), ...more].join(", ") || "something was said of single images, or they are as they were some changes ago" };
}

function cardOf(id) {
  return document.getElementById(`group-${state.groups.findIndex((group) => group.id === id)}`);
}
