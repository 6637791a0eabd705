"use strict";
// One image in a dialog, and the average of a group.

const PARTS = ["image", "canonical image", "reconstruction", "residual"];
let shown = { list: [], at: 0 };

function stripOf(id) {
  const box = el("div", { class: "strip" });
  const side = 150;
  const at = state.strips.ids.indexOf(id);
  if (at >= 0) {
    PARTS.forEach((part, i) => box.append(partFigure(state.strips, at, i, side, part)));
    return box;
  }
  if (state.live) {
    PARTS.forEach((part, i) => box.append(partFigure(state.live.liveStrip(id), 0, i, side, part)));
    return box;
  }
  box.classList.add("one");
  box.append(el("figure", {}, el("div", { style: pictureStyle(state.images.thumbs, id, side) })));
  return box;
}

function partFigure(sheets, at, part, side, name) {
  const picture = el("div", { role: "img", "aria-label": name, style: pictureStyle(sheets, at, side, part, 4) });
  return el("figure", {}, picture, el("figcaption", {}, name));
}

function factsOf(id) {
  const { images } = state;
  const rows = [
    ...(isOutlier(id) ? [["outlier", `yes: the model draws it badly (score ${(images.outlier[id] / 1000).toFixed(3)})`]] : []),
    ["group", groupName(state.of[id])],
    ["confidence", percent(images.confidence[id] / 255)],
    ...(isOutlier(id) ? [] : [["outlier score", (images.outlier[id] / 1000).toFixed(3)]]),
    ...images.coordinates.map((_, t) => poseText(id, t)),
  ];
  rows.push(["area", `${percent(images.area[id] / 65535)} of the image`], ["brightness", (images.brightness[id] / 65535).toFixed(2)]);
  if (images.mirrored) rows.push(["mirrored", yesNo(images.mirrored[id])]);
  if (images.labels) rows.push(["label", images.label_names[images.labels[id]]]);
  if (state.junk[id]) rows.push(["junk", "yes"]);
  if (tagsOf(id).length) rows.push(["tags", tagsOf(id).join(", ")]);
  rows.push(["part of the data", images.splits[images.split[id]]]);
  return el("table", {}, ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value))));
}

function showImage(list, at) {
  shown = { list, at };
  const id = list[at];
  const dialog = document.getElementById("image");
  const step = (by, text) => el("button", {
    type: "button", "data-key": text, click: () => walk(by), disabled: !(at + by in list), "aria-label": text,
  }, by < 0 ? "←" : "→");
  const tick = el("input", { type: "checkbox", "data-id": id, "data-key": "tick of the image", checked: picked.ids.has(id), change: () => startRange(list, id) });
  const head = dialogHead(dialog, nameOf(id), el("span", { class: "soft small" }, `${at + 1} of ${list.length}`),
    el("label", { class: "small" }, tick, " select"), step(-1, "previous image"), step(1, "next image"));
  const more = state.live ? el("div", { class: "row" },
    el("button", { type: "button", click: () => state.live.showAlike(id) }, "More like this"),
    el("button", { type: "button", "data-key": "original", click: () => state.live.showOriginal(id) }, "Original"),
    el("button", { type: "button", click: () => state.live.benchOf(id) }, "Move its latents")) : null;
  keepingFocus(() => {
    fillDialog(dialog, head, stripOf(id), factsOf(id), ...(more ? [more] : []));
  }, () => head.querySelector("[data-key^=close]"));
  openDialog(dialog);
}

function walk(by) {
  if (shown.at + by in shown.list) showImage(shown.list, shown.at + by);
}

function showAverage(group) {
  const { name, average } = state.groups[group];
  const dialog = document.getElementById("average");
  fillDialog(dialog,
    dialogHead(dialog, `Group ${name}: average`), el("p", { class: "small" }, average.words),
    el("div", { class: "row" }, el("img", { class: "full", src: average.picture, alt: `average of group ${name}` }),
      ...(average.frequency.length ? [agreement(average)] : [])),
  );
  openDialog(dialog);
}

document.getElementById("image").addEventListener("keydown", (event) => {
  if (event.key === "ArrowRight") walk(1);
  if (event.key === "ArrowLeft") walk(-1);
});
