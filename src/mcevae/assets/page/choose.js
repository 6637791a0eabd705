"use strict";
// Choose images by text, tags and ranges of numbers.

function ranges() {
  const { coordinates } = state.images;
  return [
    ...Object.entries(shares()).map(([name, of]) => [name, of, "0 to 1"]),
    ...coordinates.map(({ name, unit }, t) => [name.replaceAll("_", " "), (id) => state.images.pose[t][id], unit]),
  ];
}

function has(text, id) {
  const { names, labels, label_names: known } = state.images;
  return names?.[id].toLowerCase().includes(text) || (labels && known[labels[id]].toLowerCase().includes(text));
}

// Images that fulfil everything that the form asks for.
function chosenBy(form) {
  const asked = new FormData(form);
  const given = (name) => (asked.get(name) ?? "") !== "";
  const tests = [];
  const text = (asked.get("text") ?? "").trim().toLowerCase();
  if (text) tests.push((id) => has(text, id));
  if (given("group")) tests.push((id) => state.groups[state.of[id]].id === asked.get("group"));
  if (given("junk")) tests.push((id) => state.junk[id] === +asked.get("junk"));
  if (given("mirrored")) tests.push((id) => state.images.mirrored[id] === +asked.get("mirrored"));
  for (const name of ["tags", "selections"]) {
    if (!given(name)) continue;
    const among = new Set(state[name][asked.get(name)]);
    tests.push((id) => among.has(id));
  }
  for (const [name, value] of ranges()) {
    if (given(`${name} from`)) tests.push((id) => value(id) >= +asked.get(`${name} from`));
    if (given(`${name} to`)) tests.push((id) => value(id) <= +asked.get(`${name} to`));
  }
  return everyImage().filter((id) => tests.every((test) => test(id)));
}

function options(name, label, pairs) {
  const made = el("select", { name, "data-key": `choose ${name}` }, ...pairs.map(([value, text]) => el("option", { value }, text)));
  return el("label", {}, el("span", {}, label), made);
}

function named(name, label) {
  const known = Object.entries(state[name]);
  return known.length ? [options(name, label, [["", "any"], ...known.map(([one, ids]) => [one, `${one} (${ids.length})`])])] : [];
}

function rangeFields() {
  return ranges().map(([name, , unit]) => {
    const end = (which) => el("input", { type: "number", step: "any", name: `${name} ${which}`, "data-key": `choose ${name} ${which}`, "aria-label": `${name} ${which}` });
    return el("div", { class: "range", role: "group", "aria-label": name }, el("span", {}, `${name} (${unit})`), end("from"), el("span", {}, "to"), end("to"));
  });
}

function showChoose() {
  const dialog = document.getElementById("choose");
  const found = el("p", { role: "status" });
  const count = () => { found.textContent = `${chosenBy(form).length} of ${state.images.count} images match.`; };
  const form = el("form", { class: "fields", input: count, submit: (event) => {
    event.preventDefault();
    pick(chosenBy(form), new FormData(form).get("how"));
    dialog.close();
  } },
  ...(state.images.names || state.images.labels ? [el("label", {}, el("span", {}, "text in name or label"), el("input", { name: "text", "data-key": "choose text", autocomplete: "off" }))] : []),
  options("group", "group", [["", "any"], ...state.groups.map((group) => [group.id, `${group.name} (${group.size})`])]),
  options("junk", "junk", [["", "junk or not"], ["0", "no junk"], ["1", "only junk"]]),
  ...(state.images.mirrored ? [options("mirrored", "mirrored", [["", "mirrored or not"], ["0", "no"], ["1", "yes"]])] : []),
  ...named("tags", "tag"), ...named("selections", "kept selection"), ...rangeFields(),
  options("how", "then", Object.entries(HOWS)), found, el("button", {}, "Select"));
  fillDialog(dialog, dialogHead(dialog, "Choose images"), el("p", { class: "soft small" }, "Whatever you give must all be true of an image."), form,
    ...(state.live ? state.live.forgetTools() : []));
  count();
  openDialog(dialog);
  form.querySelector("input, select").focus();
}
