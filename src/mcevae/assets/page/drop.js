"use strict";
// New images: they are dropped or chosen, and the model says what each of them is.

const MOST_NEW = 100; // files at a time
const MOST_FILE = 32 * 2 ** 20; // bytes, as the server takes them
const fresh = { files: [], going: false };

// Everything that is wrong with a file before it is sent; null: nothing.
function unfit(file) {
  if (!file.size) return `${file.name} is empty; choose another file.`;
  return file.size > MOST_FILE ? `${file.name} is larger than 32 MB; make it smaller, or use mcevae predict.` : null;
}

// Look at files, one after the other. Files that come meanwhile are looked at after them.
async function look(files) {
  const room = Math.max(0, MOST_NEW - (fresh.going ? fresh.files.length : 0));
  const taken = [...files].slice(0, room).map((file) => ({ file, name: file.name, error: unfit(file), found: null }));
  const left = files.length - taken.length;
  fresh.files = fresh.going ? [...fresh.files, ...taken] : taken;
  if (!fresh.going) document.getElementById("fresh")?.replaceChildren();
  if (left) say(`${left} of the files were not looked at: the page takes ${MOST_NEW} at a time. For more, use mcevae predict.`, true);
  drawFresh();
  document.getElementById("drop").scrollIntoView();
  if (fresh.going) return;
  fresh.going = true;
  for (let at = 0; at < fresh.files.length; at += 1) { // more may come
    const one = fresh.files[at];
    if (!one.error) await lookAt(one);
    drawFresh();
  }
  fresh.going = false;
  drawFresh();
  if (fresh.files.length === 1 && fresh.files[0].found) showFresh(fresh.files[0]);
}

async function lookAt(one) {
  try {
    one.found = await ask(`/api/look?name=${encodeURIComponent(one.name)}`, { method: "POST", body: one.file });
  } catch (error) {
    one.error = error.message;
  }
  one.file = null; // its content is not needed any more
}

function isOdd(found) {
  return found.outlier >= state.images.odd;
}

// What there is to say of an image, in the order of the image dialog.
function factsOfFresh(found) {
  const rows = [
    ...(isOdd(found) ? [["outlier", `yes: the model draws it badly (score ${found.outlier.toFixed(3)})`]] : []),
    ["group", found.group],
    ["cluster", `${found.cluster} (${percent(found.probability[found.cluster])})`],
    ["confidence", percent(found.confidence)],
    ...(isOdd(found) ? [] : [["outlier score", found.outlier.toFixed(3)]]),
    ...state.images.coordinates.map(({ name, unit }, t) => [name.replaceAll("_", " "), `${found.pose[t].toFixed(2)} ${unit}`]),
  ];
  if (state.images.mirrored) rows.push(["mirrored", yesNo(found.mirrored)]);
  return el("table", {}, ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value))));
}

function freshStrip(found) {
  return { ...state.images.bench.strip, each: 1, columns: 1, files: [found.strip] };
}

// One of the new images, below their table.
function showFresh({ found }) {
  const strip = freshStrip(found);
  document.getElementById("fresh").replaceChildren(
    el("h3", { tabindex: "-1" }, found.name),
    el("div", { class: "strip" }, ...PARTS.map((part, i) => partFigure(strip, 0, i, 150, part))), factsOfFresh(found),
    el("button", { type: "button", click: () => { toBench(found); document.getElementById("bench").scrollIntoView(); } }, "Move its latents"));
  document.querySelector("#fresh h3").focus();
}

function freshRow(one, at) {
  const { found, error, name } = one;
  if (error) return el("tr", { class: "error" }, el("td", {}), el("td", {}, name), el("td", { colspan: "3" }, error));
  if (!found) return el("tr", { class: "soft" }, el("td", {}), el("td", {}, name), el("td", { colspan: "3" }, "waits …"));
  const picture = el("div", { class: "thumb", style: { ...pictureStyle(freshStrip(found), 0, SMALL, 0, 4), cursor: "default" } });
  const open = el("button", { type: "button", class: "link", "data-key": `new ${at}`, click: () => showFresh(one) }, name);
  return el("tr", {}, el("td", {}, picture), el("td", {}, open), el("td", {}, `${isOdd(found) ? "yes, " : ""}${found.outlier.toFixed(3)}`),
    el("td", {}, found.group), el("td", { class: "number" }, percent(found.confidence)));
}

function drawFresh() {
  const { files } = fresh;
  const [done, bad] = [files.filter(({ found }) => found).length, files.filter(({ error }) => error).length];
  const rest = files.length - done - bad;
  const told = `${done} of ${files.length} ${files.length === 1 ? "file" : "files"} looked at${bad ? `, ${bad} cannot be used` : ""}${rest ? `, ${rest} wait` : ""}.`;
  const heads = ["", "image", "outlier", "group", "confidence"];
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((head) => head ? el("th", { scope: "col" }, head) : el("td", {})))),
    el("tbody", {}, ...files.map(freshRow)));
  if (!document.getElementById("fresh")) document.getElementById("found").append(el("p", { role: "status" }), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "new images" }), el("div", { id: "fresh" }));
  const [line, list] = document.getElementById("found").children;
  line.textContent = told;
  keepingFocus(() => list.replaceChildren(table), () => list);
}

function startDrop() {
  const box = document.getElementById("dropbox");
  const field = document.getElementById("file");
  field.addEventListener("change", () => {
    if (field.files.length) look([...field.files]);
    field.value = ""; // so that the same files can be chosen again
  });
  for (const kind of ["dragover", "dragenter"]) {
    document.addEventListener(kind, (event) => { event.preventDefault(); box.classList.add("over"); });
  }
  document.addEventListener("dragleave", () => box.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    if (event.dataTransfer.files.length) look([...event.dataTransfer.files]);
  });
  field.disabled = false; // not before it has a listener
}
