"use strict";
// A list of images in a dialog: the members of a group, the selection, or images like one.

const PAGE = 120;
const listing = { title: null, source: null, order: null, form: "as they lie", members: [], asked: 0 };

function orders() {
  const { images } = state;
  const poses = images.coordinates.map(({ name }, t) => [name.replaceAll("_", " "), (id) => images.pose[t][id]]);
  const { area, brightness } = shares();
  const rising = Object.entries({ ...Object.fromEntries(poses), area, brightness, ...variations() });
  return {
    "lowest confidence first": (a, b) => images.confidence[a] - images.confidence[b],
    "highest confidence first": (a, b) => images.confidence[b] - images.confidence[a],
    "highest outlier score first": (a, b) => images.outlier[b] - images.outlier[a],
    ...Object.fromEntries(rising.map(([name, of]) => [`by ${name}`, (a, b) => of(a) - of(b)])),
    "by number": (a, b) => a - b,
  };
}

// Show images. `source` lists them anew whenever groups or selection change; `first` names its own order.
function showList(title, source, first = null) {
  const dialog = document.getElementById("members");
  Object.assign(listing, { title, source, order: first ?? Object.keys(orders())[0] });
  const names = [...(first ? [first] : []), ...Object.keys(orders())];
  const forms = state.live ? ["as they lie", "all upright", "as a table"] : ["as they lie", "as a table"];
  const choice = (label, options, name) => {
    const made = el("select", { "aria-label": label, "data-key": `members ${label}`, change: () => { listing[name] = made.value; fillList(); } },
      ...options.map((option) => el("option", { selected: option === listing[name] }, option)));
    return made;
  };
  const all = el("button", { type: "button", "data-key": "select all", click: () => pick(listing.members, "add") }, "Select all");
  fillDialog(dialog, dialogHead(dialog, title, choice("order", names, "order"), choice("show", forms, "form"), all),
    el("p", { class: "soft small", id: "listed", role: "status" }), el("div", { id: "list" }),
    el("button", { type: "button", id: "longer", "data-key": "show more", click: () => moreOfList() }, "Show more"));
  fillList();
  openDialog(dialog);
}

function showMembers(index) {
  const { id } = state.groups[index];
  showList(`Group ${groupName(index)}`, () => {
    const now = state.groups.findIndex((group) => group.id === id);
    return now < 0 ? [] : membersOf(now);
  });
}

function showSelection() {
  showList("Selected images", pickedIds);
}

function fillList() {
  const sorting = orders()[listing.order];
  listing.members = sorting ? listing.source().sort(sorting) : listing.source();
  const { length } = listing.members;
  document.getElementById("listed").textContent = `${length} ${length === 1 ? "image" : "images"}`;
  const empty = listing.form === "as a table" ? imageTable() : thumbs([], listing.title, { all: listing.members, key: "members" });
  document.getElementById("list").replaceChildren(...(length ? [empty] : []));
  if (length) moreOfList();
  else document.getElementById("longer").hidden = true;
}

function moreOfList() {
  const rows = document.querySelector("#list tbody") ?? document.querySelector("#list .thumbs");
  const from = rows.childElementCount;
  const more = listing.members.slice(from, from + PAGE);
  if (rows.matches(".thumbs")) addThumbs(rows, more, 64);
  else rows.append(...more.map(tableRow));
  if (listing.form === "all upright") turnUpright(more);
  document.getElementById("longer").hidden = rows.childElementCount >= listing.members.length;
}

// Show some of the listed images moved back by their poses, as the server draws them.
async function turnUpright(ids) {
  listing.asked += 1;
  const list = document.querySelector("#list .thumbs");
  list.setAttribute("aria-busy", "true");
  try {
    const sheets = await state.live.upright(ids);
    ids.forEach((id, at) => {
      const one = list.querySelector(`[data-id="${id}"]`);
      if (one) Object.assign(one.style, pictureStyle(sheets, at, 64));
    });
  } catch (error) {
    say(error.message, true);
  } finally {
    listing.asked -= 1;
    if (!listing.asked) list.setAttribute("aria-busy", "false");
  }
}

function imageTable() {
  const poses = state.images.coordinates.map(({ name, unit }) => `${name.replaceAll("_", " ")}, ${unit}`);
  const heads = ["", "image", "outlier", "group", "confidence", ...poses, "tags"];
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((head) => head ? el("th", { scope: "col" }, head) : el("td", {})))), el("tbody"));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "table of images" }, table);
}

function tableRow(id) {
  const { images } = state;
  const tick = el("input", {
    type: "checkbox", "data-id": id, "data-key": `tick ${id}`, "aria-label": `select ${nameOf(id)}`, checked: picked.ids.has(id),
    click: (event) => { if (event.shiftKey) pickRange(listing.members, id); else startRange(listing.members, id); },
  });
  const open = el("button", { type: "button", class: "link", "data-key": `open ${id}`, click: () => showImage(listing.members, listing.members.indexOf(id)) }, nameOf(id));
  const odd = `${isOutlier(id) ? "yes, " : ""}${(images.outlier[id] / 1000).toFixed(3)}`;
  const numbers = images.coordinates.map((_, t) => el("td", { class: "number" }, images.pose[t][id].toFixed(2)));
  return el("tr", {}, el("td", {}, tick), el("td", {}, open), el("td", {}, odd), el("td", {}, groupName(state.of[id])),
    el("td", { class: "number" }, percent(images.confidence[id] / 255)), ...numbers, el("td", {}, tagsOf(id).join(", ")));
}

// After groups have changed, the list shows what it lists now.
function refreshList() {
  if (!document.getElementById("members").open) return;
  keepingFocus(fillList, () => document.querySelector('#members [data-key="close members"]'));
}
