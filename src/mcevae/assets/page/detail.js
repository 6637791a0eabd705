"use strict";
// One image in a dialog, and all members of a group in another.

const PARTS = ["image", "canonical image", "reconstruction", "residual"];
const PAGE = 120;
let shown = { list: [], at: 0 };

// A thumbnail that opens its image. The arrow keys then go through `list`.
function thumb(id, list, size = 36) {
  const label = `${nameOf(id)}, group ${groupName(state.of[id])}`;
  return el("button", {
    class: "thumb", type: "button", "aria-label": label, title: nameOf(id),
    style: pictureStyle(state.images.thumbs, id, size),
    click: () => showImage(list, list.indexOf(id)),
  });
}

function thumbs(list, size) {
  return el("div", { class: "thumbs" }, ...list.map((id) => thumb(id, list, size)));
}

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
    ["group", groupName(state.of[id])],
    ["confidence", percent(images.confidence[id] / 255)],
    ["outlier score", (images.outlier[id] / 1000).toFixed(3)],
    ...images.coordinates.map((_, t) => poseText(id, t)),
  ];
  if (images.mirrored) rows.push(["mirrored", yesNo(images.mirrored[id])]);
  if (images.labels) rows.push(["label", images.label_names[images.labels[id]]]);
  rows.push(["part of the data", images.splits[images.split[id]]]);
  return el("table", {}, ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value))));
}

function showImage(list, at) {
  shown = { list, at };
  const id = list[at];
  const dialog = document.getElementById("image");
  const step = (by, text) => el("button", {
    type: "button", click: () => walk(by), disabled: !(at + by in list), "aria-label": text,
  }, by < 0 ? "←" : "→");
  dialog.replaceChildren(
    el("div", { class: "row" }, el("h3", { style: { flex: "1" } }, nameOf(id)),
      el("span", { class: "soft small" }, `${at + 1} of ${list.length}`),
      step(-1, "previous image"), step(1, "next image"),
      el("button", { type: "button", click: () => dialog.close() }, "Close")),
    stripOf(id), factsOf(id),
    ...(state.live ? [el("button", { type: "button", click: () => state.live.benchOf(id) }, "Move its latents")] : []),
  );
  if (!dialog.open) dialog.showModal();
}

function walk(by) {
  if (shown.at + by in shown.list) showImage(shown.list, shown.at + by);
}

function showMembers(group) {
  const { images } = state;
  const orders = {
    "lowest confidence first": (a, b) => images.confidence[a] - images.confidence[b],
    "highest confidence first": (a, b) => images.confidence[b] - images.confidence[a],
    "highest outlier score first": (a, b) => images.outlier[b] - images.outlier[a],
    [`by ${images.coordinates[0].name.replaceAll("_", " ")}`]: (a, b) => images.pose[0][a] - images.pose[0][b],
  };
  const dialog = document.getElementById("members");
  const grid = el("div", { class: "thumbs" });
  const more = el("button", { type: "button", click: () => fill(false) }, "Show more");
  const order = el("select", { "aria-label": "order", change: () => fill(true) },
    ...Object.keys(orders).map((name) => el("option", {}, name)));
  let members = [];
  function fill(anew) {
    if (anew) {
      members = membersOf(group).sort(orders[order.value]);
      grid.replaceChildren();
    }
    const from = grid.childElementCount;
    grid.append(...members.slice(from, from + PAGE).map((id) => thumb(id, members, 56)));
    more.hidden = grid.childElementCount >= members.length;
  }
  dialog.replaceChildren(
    el("div", { class: "row" }, el("h3", { style: { flex: "1" } }, `Group ${groupName(group)}`), order,
      el("button", { type: "button", click: () => dialog.close() }, "Close")),
    el("p", { class: "soft small" }, `${state.groups[group].size} images`), grid, more,
  );
  fill(true);
  dialog.showModal();
}

function showAverage(group) {
  const { name, average } = state.groups[group];
  const dialog = document.getElementById("members");
  dialog.replaceChildren(
    el("div", { class: "row" }, el("h3", { style: { flex: "1" } }, `Group ${name}: average`),
      el("button", { type: "button", click: () => dialog.close() }, "Close")),
    el("p", { class: "small" }, average.words),
    el("div", { class: "row" }, el("img", { class: "full", src: average.picture, alt: `average of group ${name}` }),
      ...(average.frequency.length ? [agreement(average)] : [])),
  );
  dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  if (!document.getElementById("image").open) return;
  if (event.key === "ArrowRight") walk(1);
  if (event.key === "ArrowLeft") walk(-1);
});
