"use strict";
// Dialogs, and the place of the keyboard when a part of the page is drawn anew.

const dialogs = []; // those that are open, the one on top last

function focusKey() {
  return document.activeElement?.closest("[data-key]")?.dataset.key;
}

// Bring the keyboard to the element with this key; if it is gone or hidden, to another one.
function focusOn(key, otherwise) {
  const found = key && document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  found?.focus({ preventScroll: true });
  if (!found || document.activeElement !== found) otherwise?.focus({ preventScroll: true });
}

function isLost(element) {
  return !element?.isConnected || element === document.body || element.disabled;
}

// `otherwise` finds another place for the keyboard.
function keepingFocus(draw, otherwise) {
  const [key, before] = [focusKey(), document.activeElement];
  draw();
  if (before !== document.body && isLost(document.activeElement)) focusOn(key, otherwise());
}

// Message and bar go where they can be used: into a dialog on top, or back to the page.
function placeFoot() {
  const top = dialogs.at(-1) ?? document.body;
  const listing = top.matches(".listing") ? top : document.body;
  const key = focusKey();
  const [bar, said] = ["bar", "said"].map((id) => document.getElementById(id));
  if (bar.parentElement !== listing) listing.append(bar);
  const place = top === listing ? bar : top;
  if (said.parentElement !== place) place.append(said);
  if (key && isLost(document.activeElement)) focusOn(key);
}

function fillDialog(dialog, ...content) {
  const inside = dialog.querySelector(":scope > .inside") ?? el("div", { class: "inside" });
  inside.replaceChildren(...content);
  if (!inside.isConnected) dialog.prepend(inside);
}

function openDialog(dialog) {
  if (dialog.open) return;
  const key = focusKey();
  if (!dialogs.includes(dialog)) dialogs.push(dialog);
  dialog.showModal();
  placeFoot();
  dialog.onclose = () => {
    if (dialog.open) return; // it was opened again before this was told
    dialogs.splice(dialogs.indexOf(dialog), 1);
    placeFoot();
    if (isLost(document.activeElement) || document.activeElement.closest("dialog:not([open])")) {
      focusOn(key, dialogs.at(-1) ?? document.getElementById("clusters"));
    }
  };
}

function dialogHead(dialog, title, ...more) {
  return el("div", { class: "row head" }, el("h2", {}, title), ...more,
    el("button", { type: "button", "data-key": `close ${dialog.id}`, click: () => dialog.close() }, "Close"));
}
