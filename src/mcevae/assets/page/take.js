"use strict";
// Take the selection away: lists and tables, and the command that writes other forms.

function quoted(text) {
  return /^[\w./@%+=:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// The flags of `mcevae select` that choose the selected images; null: there are none yet.
function flagsOfSelection() {
  const kept = Object.entries(state.selections).find(([, ids]) => samePicked(ids));
  if (kept) return `--selection ${quoted(kept[0])}`;
  const whole = wholeGroups();
  const held = whole.reduce((sum, group) => sum + group.size, 0);
  return held === picked.ids.size ? `--keep ${whole.map((group) => quoted(group.name)).join(" ")}` : null;
}

function hand(name, content) {
  const link = el("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function listOfNames() {
  return new Blob([pickedIds().map((id) => `${state.images.names ? nameOf(id) : id}\n`).join("")], { type: "text/plain" });
}

const WRITTEN = [
  ["a folder for each group", "selected"], ["a list of files", "selected.txt"], ["a CSV table", "selected.csv"], ["a Parquet table", "selected.parquet"],
  ["a stack of aligned images (.tif)", "selected.tif"], ["a stack of aligned images (.mrcs)", "selected.mrcs"], ["a stack of aligned images (.npy)", "selected.npy"],
  ["a picture for a paper (.svg)", "selected.svg"], ["a picture for a paper (.png)", "selected.png"], ["a picture for a paper (.pdf)", "selected.pdf"],
];

function commandTools() {
  const flags = flagsOfSelection();
  if (!flags) {
    const how = state.live?.canSave ? "Keep the selection under a name. Then the command that writes it as folders and other forms is here."
      : "Select whole groups to see the command that writes them as folders and other forms.";
    return [el("p", { class: "soft" }, how)];
  }
  const { run, particles } = document.body.dataset;
  const forms = [...WRITTEN, ...(particles ? [[`particles (${particles})`, `selected${particles}`]] : [])];
  const line = el("code", { tabindex: "0", "data-key": "command" });
  const form = el("select", { "data-key": "command form", change: () => write() }, ...forms.map(([text, out]) => el("option", { value: out }, text)));
  const write = () => { line.textContent = `mcevae select ${quoted(run)} ${flags} --junk too --out ${form.value}`; };
  write();
  const copy = () => navigator.clipboard.writeText(line.textContent).then(() => say("The command is copied."), () => say("The browser does not let this page copy; select the command and copy it.", true));
  return [el("label", {}, "The command that writes ", form), el("pre", {}, line), el("button", { type: "button", "data-key": "copy", click: copy }, "Copy the command")];
}

function showTake() {
  const dialog = document.getElementById("take");
  fillDialog(dialog, dialogHead(dialog, `Take away ${pickedText()}`),
    el("div", { class: "row" },
      el("button", { type: "button", "data-key": "names", click: () => hand("selected.txt", listOfNames()) }, state.images.names ? "List of names (.txt)" : "List of numbers (.txt)"),
      ...(state.live ? state.live.tableTools() : [])),
    ...(state.live ? state.live.saveTools() : []), ...commandTools());
  openDialog(dialog);
}
