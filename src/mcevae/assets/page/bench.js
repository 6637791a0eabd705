"use strict";
// Latents that people move, and what the model draws of them.

const bench = { cluster: 0, z: [], tau: [], mirrored: false, busy: false, again: false };

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
  const { bench: reach, mirrored } = state.images;
  const cluster = el("select", { id: "bench-cluster", "aria-label": "cluster", change: () => { bench.cluster = +cluster.value; redraw(); } },
    ...Array.from({ length: reach.clusters }, (_, k) => el("option", { value: k, selected: k === bench.cluster }, clusterName(k))));
  const mirror = el("input", {
    type: "checkbox", checked: bench.mirrored, "aria-label": "mirrored",
    change: () => { bench.mirrored = mirror.checked; redraw(); },
  });
  document.getElementById("sliders").replaceChildren(
    el("label", {}, el("span", {}, "cluster"), cluster),
    ...(mirrored ? [el("label", {}, el("span", {}, "mirrored"), mirror)] : []),
    ...reach.coordinates.map(({ name, unit, half_width: width }, t) =>
      slider(name.replaceAll("_", " "), bench.tau[t], Math.max(width, Math.abs(bench.tau[t])) || 1, unit, (value) => { bench.tau[t] = value; })),
    ...bench.z.map((value, v) => slider(`variation ${v + 1}`, value, Math.max(reach.z[v], Math.abs(value)), "", (now) => { bench.z[v] = now; })));
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
      const drawn = await post("/api/draw", { cluster: bench.cluster, z: bench.z, tau: bench.tau, mirrored: bench.mirrored });
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

function toBench({ cluster, z, tau, mirrored }) {
  Object.assign(bench, { cluster, z: [...z], tau: [...tau], mirrored });
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
