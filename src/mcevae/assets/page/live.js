"use strict";
// The page with a server: people change groups, drop images and move latents.

const answer = document.body.dataset.stage; // first, quick or last
const chosen = new Set(); // ids of groups marked for a merge
const bench = { cluster: 0, z: [], tau: [], mirrored: false, busy: false, again: false };

async function ask(path, options) {
  const answer = await fetch(path, options);
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const { detail } = content;
    const text = typeof detail === "string" ? detail : `the server refused the request (${answer.status})`;
    throw Object.assign(new Error(text), { now: content.now });
  }
  return content;
}

function post(path, content) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
}

function say(text, bad = false) {
  const line = document.getElementById("said");
  line.textContent = text;
  line.classList.toggle("error", bad);
  line.title = "click to close";
  line.onclick = () => say(""); // it covers a part of the page
}

function showGroups(groups) {
  readGroups(groups);
  chosen.clear();
  drawOverview();
  drawGroups();
  drawTools();
  recolour();
}

// Each change says which groups it was made from. If they have changed since, it shows the new ones.
async function regroup(path, content, text) {
  try {
    showGroups(await post(`/api/groups/${path}`, { ...content, version: state.version }));
    say(text);
  } catch (error) {
    if (error.now) showNow(error.now, content);
    else say(error.message, true);
  }
}

// Show what somebody else has made of the groups, and keep what was asked for in the fields.
function showNow(groups, { group, groups: marked = [], name }) {
  const before = new Map(state.groups.map((one) => [one.id, one]));
  showGroups(groups);
  const changes = whatChanged(before);
  for (const id of changes.ids) cardOf(id)?.classList.add("changed");
  if (name !== undefined && cardOf(group)) cardOf(group).querySelector("form input").value = name;
  for (const id of marked) cardOf(id)?.querySelector("[type=checkbox]").click();
  const asked = name === undefined ? "Do it again if you still want it." : `Press Name again if you still want "${name}".`;
  say(`This was not done, because the groups were changed in another place: ${changes.text}. ${asked}`, true);
}

// How groups differ from those before, by their ids: in words, and which of them are there now.
function whatChanged(before) {
  const ids = [], words = [];
  for (const one of state.groups) {
    const old = before.get(one.id);
    if (old && old.name === one.name && old.size === one.size && old.turned === one.turned) continue;
    ids.push(one.id);
    if (!old) words.push(`group ${one.name} is new`);
    else if (old.name !== one.name) words.push(`group ${old.name} is now ${one.name}`);
    else words.push(old.size === one.size ? `the frame of group ${one.name} is turned` : `group ${one.name} has ${one.size} images`);
  }
  const now = new Set(state.groups.map((one) => one.id));
  const gone = [...before.values()].filter((one) => !now.has(one.id)).map((one) => `group ${one.name} is gone`);
  const all = [...words, ...gone];
  const more = all.length > 3 ? [`and ${all.length - 3} more changes`] : [];
  return { ids, text: [...all.slice(0, 3), ...more].join(", ") || "they are as they were some changes ago" };
}

function nameOfGroup(id) {
  return state.groups.find((group) => group.id === id).name;
}

function cardOf(id) {
  return document.getElementById(`group-${state.groups.findIndex((group) => group.id === id)}`);
}

function drawTools() {
  if (answer === "first") return; // its groups cannot be changed: training replaces them
  document.getElementById("merge").disabled = chosen.size < 2;
  document.getElementById("undo").disabled = !state.undo;
  document.getElementById("redo").disabled = !state.redo;
}

// The tools of a group: name it, split it, mark it for a merge, and turn its frame.
function groupTools(index) {
  if (answer === "first") return null;
  const { id, name, turned, junk } = state.groups[index];
  const field = el("input", { value: name, maxlength: "80", "aria-label": `name of group ${name}` });
  const rename = () => {
    if (field.value.trim() !== name) regroup("rename", { group: id, name: field.value }, `Group ${name} is now ${field.value}.`);
  };
  const mark = el("input", {
    type: "checkbox", "aria-label": `mark group ${name}`,
    change: (event) => { event.target.checked ? chosen.add(id) : chosen.delete(id); drawTools(); },
  });
  const tools = el("form", { class: "row tools", submit: (event) => { event.preventDefault(); rename(); } },
    field, el("button", {}, "Name"),
    el("button", { type: "button", click: () => regroup("split", { group: id }, `Group ${name} is split.`) }, "Split"),
    el("label", {}, mark, " merge"));
  return el("div", {}, tools, turnTools(id, name, turned), judgeTools(id, name, junk));
}

// Whether a group is junk.
function judgeTools(id, name, junk) {
  const word = junk ? "Keep" : "Junk";
  const change = () => regroup("judge", { group: id, junk: !junk }, `Group ${name} is ${junk ? "kept" : "junk"}.`);
  return el("div", { class: "row turns" },
    el("span", { class: "soft small" }, junk ? "It is junk" : "It is kept"),
    el("button", { type: "button", "aria-label": `${word} group ${name}`, click: change }, word));
}

// Which way is up in a group: turn its canonical image, or mirror it.
function turnTools(id, name, turned) {
  const turn = (text, title, change) => el("button", {
    type: "button", title, "aria-label": `${title} of group ${name}`,
    click: () => regroup("turn", { group: id, ...change }, `The frame of group ${name} is turned.`),
  }, text);
  return el("div", { class: "row turns" }, el("span", { class: "soft small" }, "Which way is up"),
    turn("↺ 15°", "turn the frame left by 15 degrees", { degrees: -15 }),
    turn("↻ 15°", "turn the frame right by 15 degrees", { degrees: 15 }),
    ...(state.images.mirrored ? [turn("mirror", "mirror the frame", { flip: true })] : []),
    turned ? el("span", { class: "soft small" }, `by hand: ${turned}`) : null);
}

// The strip of an image, drawn by the server when somebody opens it.
function liveStrip(id) {
  return { ...state.images.bench.strip, each: 1, columns: 1, files: [`/api/images/${id}/strip.png`] };
}

function slider(name, value, reach, unit, change) {
  const output = el("output", {}, `${value.toFixed(2)} ${unit}`);
  const range = el("input", {
    type: "range", min: -reach, max: reach, step: reach / 200, value, "aria-label": name,
    input: () => { output.textContent = `${(+range.value).toFixed(2)} ${unit}`; change(+range.value); redraw(); },
  });
  return el("label", {}, el("span", {}, name), range, output);
}

function drawBench() {
  const { bench: reach, coordinates, mirrored } = state.images;
  const cluster = el("select", { "aria-label": "cluster", change: () => { bench.cluster = +cluster.value; redraw(); } },
    ...Array.from({ length: reach.clusters }, (_, k) => el("option", { value: k, selected: k === bench.cluster }, `cluster ${k}`)));
  const mirror = el("input", {
    type: "checkbox", checked: bench.mirrored, "aria-label": "mirrored",
    change: () => { bench.mirrored = mirror.checked; redraw(); },
  });
  document.getElementById("sliders").replaceChildren(
    el("label", {}, el("span", {}, "cluster"), cluster),
    ...(mirrored ? [el("label", {}, el("span", {}, "mirrored"), mirror)] : []),
    ...coordinates.map(({ name, unit, half_width: width }, t) =>
      slider(`tau: ${name.replaceAll("_", " ")}`, bench.tau[t], Math.max(width, Math.abs(bench.tau[t])) || 1, unit, (value) => { bench.tau[t] = value; })),
    ...bench.z.map((value, v) => slider(`z ${v}`, value, Math.max(reach.z[v], Math.abs(value)), "", (now) => { bench.z[v] = now; })));
  redraw();
}

// One request at a time. If a slider moved in the meantime, draw again; until then the pictures are busy.
async function redraw() {
  if (bench.busy) { bench.again = true; return; }
  const pictures = document.getElementById("bench-pictures");
  bench.busy = true;
  pictures.setAttribute("aria-busy", "true");
  try {
    do {
      bench.again = false;
      const drawn = await post("/api/draw", { cluster: bench.cluster, z: bench.z, tau: bench.tau, mirrored: bench.mirrored });
      document.getElementById("bench-canonical").src = drawn.canonical;
      document.getElementById("bench-moved").src = drawn.moved;
    } while (bench.again);
  } catch (error) {
    say(error.message, true);
  } finally {
    bench.busy = false;
    pictures.setAttribute("aria-busy", "false");
  }
}

function toBench({ cluster, z, tau, mirrored }) {
  Object.assign(bench, { cluster, z: [...z], tau: [...tau], mirrored });
  drawBench();
}

async function benchOf(id) {
  document.getElementById("image").close(); // they would hide messages
  document.getElementById("members").close();
  try {
    toBench(await ask(`/api/images/${id}/latents`));
    document.getElementById("bench").scrollIntoView();
  } catch (error) {
    say(error.message, true);
  }
}

async function look(file) {
  const place = document.getElementById("found");
  document.getElementById("drop").scrollIntoView();
  place.replaceChildren(el("p", { class: "soft" }, `Reading ${file.name} …`));
  try {
    const found = await ask(`/api/look?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
    const strip = { ...state.images.bench.strip, each: 1, columns: 1, files: [found.strip] };
    const rows = [
      ["group", found.group],
      ["cluster", `${found.cluster} (${percent(found.probability[found.cluster])})`],
      ["confidence", percent(found.confidence)],
      ["outlier score", found.outlier.toFixed(3)],
      ...state.images.coordinates.map(({ name, unit }, t) => [name.replaceAll("_", " "), `${found.pose[t].toFixed(2)} ${unit}`]),
    ];
    if (state.images.mirrored) rows.push(["mirrored", yesNo(found.mirrored)]);
    place.replaceChildren(
      el("h3", {}, found.name),
      el("div", { class: "strip" }, ...PARTS.map((part, i) => partFigure(strip, 0, i, 150, part))),
      el("table", {}, ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)))),
      el("button", { type: "button", click: () => { toBench(found); document.getElementById("bench").scrollIntoView(); } }, "Move its latents"));
  } catch (error) {
    place.replaceChildren(el("p", { class: "error", role: "alert" }, error.message));
  }
}

function startDrop() {
  const box = document.getElementById("dropbox");
  const field = document.getElementById("file");
  field.addEventListener("change", () => { if (field.files.length) look(field.files[0]); });
  for (const kind of ["dragover", "dragenter"]) {
    document.addEventListener(kind, (event) => { event.preventDefault(); box.classList.add("over"); });
  }
  document.addEventListener("dragleave", () => box.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    if (event.dataTransfer.files.length) look(event.dataTransfer.files[0]);
  });
  field.disabled = false; // not before it has a listener
}

function startTools() {
  if (answer === "first") return;
  document.getElementById("merge").addEventListener("click", () => {
    const marked = [...chosen];
    regroup("merge", { groups: marked }, `${marked.map(nameOfGroup).join(", ")} are now one group.`);
  });
  document.getElementById("undo").addEventListener("click", () => regroup("undo", {}, "The last change is undone."));
  document.getElementById("redo").addEventListener("click", () => regroup("redo", {}, "The change is made again."));
}

async function start() {
  try {
    // Load the first image's latents before anybody can ask for others.
    const paths = ["/api/images", "/api/groups", "/api/images/0/latents"];
    const [images, groups, first] = await Promise.all(paths.map((path) => ask(path)));
    readImages(images);
    readGroups(groups);
    state.strips = { ids: [] };
    state.live = { groupTools, liveStrip, benchOf };
    startTools();
    drawOverview();
    drawGroups();
    drawTools();
    startMap();
    toBench(first);
    startDrop();
    say("");
  } catch (error) {
    say(error.message, true);
  }
}

start();

// The first answer of a training is replaced by the last one: look for it, and then load the page again.
async function awaitLast() {
  const { stage } = await ask("/api/stage").catch(() => ({ stage: "first" })); // the server may be busy
  if (stage === "first") setTimeout(awaitLast, 3000);
  else location.reload();
}

if (answer === "first") setTimeout(awaitLast, 3000);
