"use strict";
// Latents that people move, and what the model draws of them.

const bench = { cluster: 0, z: [], pose: [], mirrored: false, size: null, reach: [], busy: false, again: false };

function slider(name, value, reach, unit, change) {
  const output = el("output", {}, `${value.toFixed(2)} ${unit}`);
  const range = el("input", {
    type: "range", min: -reach, max: reach, step: reach / 200, value, "aria-label": name,
    input: () => { output.textContent = `${(+range.value).toFixed(2)} ${unit}`; change(+range.value); redraw(); },
  });
  return el("label", {}, el("span", {}, name), range, output);
}

// A cluster with the names of the groups that it is in, if people have named them.
function clusterName(k) {
  const own = state.groups.filter(({ units }) => units.some((unit) => unit.split(".")[0] === String(k)));
  const names = own.map(({ name }) => name).join(", ");
  return names === String(k) ? `cluster ${k}` : `cluster ${k} (${names})`;
}

function nameClusters() {
  for (const option of document.querySelectorAll("#bench-cluster option")) option.textContent = clusterName(+option.value);
}

function drawBench() {
  const { bench: ends, coordinates, mirrored } = state.images;
  const cluster = el("select", { id: "bench-cluster", "aria-label": "cluster", change: () => { bench.cluster = +cluster.value; redraw(); } },
    ...Array.from({ length: ends.clusters }, (_, k) => el("option", { value: k, selected: k === bench.cluster }, clusterName(k))));
  const mirror = el("input", {
    type: "checkbox", checked: bench.mirrored, "aria-label": "mirrored",
    change: () => { bench.mirrored = mirror.checked; redraw(); },
  });
  document.getElementById("sliders").replaceChildren(
    el("label", {}, el("span", {}, "cluster"), cluster),
    ...(mirrored ? [el("label", {}, el("span", {}, "mirrored"), mirror)] : []),
    ...coordinates.map(({ name, unit }, t) =>
      slider(name.replaceAll("_", " "), bench.pose[t], Math.max(bench.reach[t], Math.abs(bench.pose[t])) || 1, unit, (value) => { bench.pose[t] = value; })),
    ...bench.z.map((value, v) => slider(`variation ${v + 1}`, value, Math.max(ends.z[v], Math.abs(value)), "", (now) => { bench.z[v] = now; })));
  redraw();
}

// One request at a time. If a slider moved in the meantime, draw again; until then the pictures are busy.
async function redraw() {
  if (bench.busy) { bench.again = true; return; }
  const pictures = document.getElementById("bench-pictures");
  bench.busy = true;
  pictures.setAttribute("aria-busy", "true");
  try {
    do {
      bench.again = false;
      const drawn = await post("/api/draw", { cluster: bench.cluster, z: bench.z, pose: bench.pose, mirrored: bench.mirrored, size: bench.size });
      document.getElementById("bench-canonical").src = drawn.canonical;
      document.getElementById("bench-moved").src = drawn.moved;
    } while (bench.again);
  } catch (error) {
    say(error.message, true);
  } finally {
    bench.busy = false;
    pictures.setAttribute("aria-busy", "false");
  }
}

// Shifts are in pixels of the image whose latents these are, as it lies in its file.
function toBench({ cluster, z, pose, mirrored, size, reach }) {
  Object.assign(bench, { cluster, z: [...z], pose: [...pose], mirrored, size, reach });
  drawBench();
}

async function benchOf(id) {
  document.getElementById("image").close(); // they would hide messages
  document.getElementById("members").close();
  try {
    toBench(await ask(`/api/images/${id}/latents`));
    document.getElementById("bench").scrollIntoView();
  } catch (error) {
    say(error.message, true);
  }
}
