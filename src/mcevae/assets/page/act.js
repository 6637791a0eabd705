"use strict";
// What is decided on the selected images: group, junk, tags, and a name for the selection.

// Decide on the selected images. What puts them in order ends their selection.
async function decide(content, text, ends) {
  const said = `${pickedText()} ${picked.ids.size === 1 ? "is" : "are"} ${text}.`;
  const done = await change("/api/selected/decide", { ...content, images: pickedIds() }, said);
  if (done && ends) pick([]);
  return done;
}

// Make one group of several; it has the name of the first. The promise says whether it was done.
function mergeGroups(groups) {
  return regroup("merge", { groups: groups.map(({ id }) => id) }, `${groups.map(({ name }) => name).join(", ")} are now one group, ${groups[0].name}.`);
}

function mergeButton() {
  const whole = wholeGroups();
  const merge = () => mergeGroups(whole).then((done) => { if (done) pick([]); });
  return barButton(`Merge ${whole.length} groups`, merge, { hidden: whole.length < 2 });
}

function mergeTwo(groups) {
  if (answer === "first") return [];
  return [el("button", { type: "button", "data-key": "merge two", click: () => mergeGroups(groups) }, "Merge these two")];
}

function step(name, text, disabled) {
  return barButton(name, () => regroup(name.toLowerCase(), {}, text), { disabled });
}

// Buttons of the bar, for as many selected images.
function actions(size) {
  if (answer === "first") return []; // its groups cannot be changed: training replaces them
  const hidden = !size || !state.images.names;
  const mark = (word, text) => barButton(text, () => decide({ mark: word }, word, true), { hidden, label: `${text} the selected images` });
  const nameless = size && !state.images.names
    ? [el("span", { class: "soft small" }, "These images have no names, so only whole groups can be changed.")] : [];
  return [
    mark("junk", "Junk"), mark("kept", "Keep"), barButton("Move…", showMove, { hidden, label: "Move the selected images" }),
    barButton("Tag…", showTag, { hidden, label: "Tag the selected images" }), mergeButton(), ...nameless,
  ];
}

function steps() {
  if (answer === "first") return [];
  return [step("Undo", "The last change is undone.", !state.undo), step("Redo", "The change is made again.", !state.redo)];
}

// A form in the dialog for small questions. `act` gets what was filled in, and the pressed button's value.
function askIn(title, fields, act) {
  const dialog = document.getElementById("small");
  const form = el("form", { class: "fields", submit: (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    const { value } = event.submitter ?? {};
    dialog.close();
    act(given, value);
  } }, ...fields);
  fillDialog(dialog, dialogHead(dialog, title), form);
  openDialog(dialog);
  form.querySelector("select, input").focus();
}

function showMove() {
  const field = el("select", { name: "to", change: () => { fresh.parentElement.hidden = field.value !== ""; fresh.required = field.value === ""; } },
    ...state.groups.map(({ id, name, size }) => el("option", { value: id }, `group ${name} (${size})`)), el("option", { value: "" }, "a new group"));
  const fresh = el("input", { name: "new", maxlength: "80", autocomplete: "off" });
  const fields = [el("label", {}, el("span", {}, "to"), field), el("label", { hidden: true }, el("span", {}, "its name"), fresh), el("button", {}, "Move")];
  askIn(`Move ${pickedText()}`, fields, (given) => {
    const target = given.to ? { to: given.to } : { new: given.new };
    const name = given.to ? state.groups.find(({ id }) => id === given.to).name : given.new;
    decide(target, `now in group ${name}`, true);
  });
}

function showTag() {
  const known = el("datalist", { id: "tags" }, ...Object.keys(state.tags).map((tag) => el("option", { value: tag })));
  const fields = [el("label", {}, el("span", {}, "tag"), el("input", { name: "tag", list: "tags", maxlength: "80", required: true, autocomplete: "off" })), known,
    el("div", { class: "row" }, el("button", { value: "tag" }, "Give it"), el("button", { value: "untag" }, "Take it away"))];
  askIn(`Tag ${pickedText()}`, fields, ({ tag }, how) => decide({ [how]: tag }, how === "untag" ? `no longer tagged ${tag}` : `tagged ${tag}`, false));
}

// Keep the selection under a name.
function saveTools() {
  if (!canSave()) return [];
  const form = el("form", { class: "row", submit: async (event) => {
    event.preventDefault();
    const { name } = Object.fromEntries(new FormData(form));
    if (await decide({ save: name }, `kept as ${name}`, false)) showTake();
  } }, el("label", {}, "keep as ", el("input", { name: "name", required: true, maxlength: "80", autocomplete: "off", "data-key": "save as" })), el("button", { "data-key": "save" }, "Keep"));
  return [form];
}

// Forget selections that were kept.
function forgetTools() {
  const names = Object.keys(state.selections);
  if (answer === "first" || !names.length) return [];
  const forget = async (name) => {
    if (await change("/api/selected/decide", { images: [], save: name }, `The selection ${name} is forgotten.`)) showChoose();
  };
  return [el("div", { class: "row" }, el("span", { class: "soft small" }, "Forget a kept selection:"),
    ...names.map((name) => el("button", { type: "button", "data-key": `forget ${name}`, "aria-label": `forget ${name}`, click: () => forget(name) }, `${name} ×`)))];
}

function canSave() {
  return answer !== "first" && state.images.names !== null;
}
