"use strict";
// A new image: it is dropped or chosen, and the model says what it is.

async function look(file) {
  const place = document.getElementById("found");
  document.getElementById("drop").scrollIntoView();
  place.replaceChildren(el("p", { class: "soft" }, `Reading ${file.name} …`));
  try {
    const found = await ask(`/api/look?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
    const strip = { ...state.images.bench.strip, each: 1, columns: 1, files: [found.strip] };
    const odd = found.outlier >= state.images.odd;
    const rows = [
      ...(odd ? [["outlier", `yes: the model draws it badly (score ${found.outlier.toFixed(3)})`]] : []),
      ["group", found.group],
      ["cluster", `${found.cluster} (${percent(found.probability[found.cluster])})`],
      ["confidence", percent(found.confidence)],
      ...(odd ? [] : [["outlier score", found.outlier.toFixed(3)]]),
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
