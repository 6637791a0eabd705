"use strict";
// The page with a server: people select and decide, change groups, drop images and move latents.

// The strip of an image, drawn by the server when somebody opens it.
function liveStrip(id) {
  return { ...state.images.bench.strip, each: 1, columns: 1, files: [`/api/images/${id}/strip.png`] };
}

function upright(ids) {
  return post("/api/selected/upright", { images: ids });
}

// Show the images that are most like one.
async function showAlike(id) {
  try {
    const { images } = await ask(`/api/selected/alike?image=${id}&count=60`);
    document.getElementById("image").close();
    showList(`Like ${nameOf(id)}`, () => [...images], "most alike first");
  } catch (error) {
    say(error.message, true);
  }
}

// Tables of the selected images, as files.
function tableTools() {
  const table = async (form) => {
    try {
      const found = await fetch(`/api/selected/table.${form}`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ images: pickedIds() }),
      });
      if (!found.ok) throw new Error(`the server refused the request (${found.status})`);
      hand(`selected.${form}`, await found.blob());
    } catch (error) {
      say(error.message, true);
    }
  };
  return ["csv", "parquet"].map((form) => el("button", { type: "button", "data-key": form, click: () => table(form) }, `Table (.${form})`));
}

function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.target.matches?.("input:not([type=checkbox]), textarea")) return;
    const key = event.key.toLowerCase();
    const name = key === "y" || (key === "z" && event.shiftKey) ? "Redo" : key === "z" ? "Undo" : null;
    const button = name && document.querySelector(`[data-key="bar ${name}"]`);
    if (!button) return;
    event.preventDefault();
    button.click();
  });
}

async function start() {
  try {
    // Load the first image's latents before anybody can ask for others.
    const paths = ["/api/images", "/api/groups", "/api/images/0/latents"];
    const [images, groups, first] = await Promise.all(paths.map((path) => ask(path)));
    readImages(images);
    readGroups(groups);
    state.strips = { ids: [] };
    state.live = { actions, benchOf, canSave: canSave(), forgetTools, groupTools, liveStrip, mergeTwo, saveTools, showAlike, showOriginal, steps, tableTools, upright };
    startGroups();
    startBar();
    startKeys();
    drawOverview();
    drawGroups();
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
