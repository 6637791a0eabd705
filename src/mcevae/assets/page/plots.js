"use strict";
// Pose histograms: a rose for an angle, bars for the other coordinates.

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function counted(values, low, high, bins) {
  const counts = new Array(bins).fill(0);
  for (const value of values) {
    const bin = Math.floor(((value - low) / (high - low)) * bins);
    counts[Math.min(bins - 1, Math.max(0, bin))] += 1;
  }
  return counts;
}

function titled(picture, caption, text) {
  picture.setAttribute("role", "img");
  picture.prepend(svg("title", {}, text));
  return el("figure", {}, picture, el("figcaption", {}, caption));
}

// Petals of 10 degrees. 0 is up, angles go clockwise. The area of a petal is its share of the images.
// The support has another middle if somebody has turned the frame.
function rose(degrees, { name, half_width: halfWidth }, middleOfSupport) {
  const [bins, middle, reach] = [36, 60, 46];
  const counts = counted(degrees, -180, 180, bins);
  const most = Math.max(1, ...counts);
  const at = (angle, radius) => {
    const turn = ((angle - 90) * Math.PI) / 180;
    return `${middle + radius * Math.cos(turn)} ${middle + radius * Math.sin(turn)}`;
  };
  const picture = svg("svg", { viewBox: "-8 0 136 120", width: 113, height: 100 });
  picture.append(svg("circle", { class: "axis", cx: middle, cy: middle, r: reach }));
  counts.forEach((count, bin) => {
    if (!count) return;
    const [from, to] = [-180 + bin * 10, -170 + bin * 10];
    const radius = reach * Math.sqrt(count / most);
    const path = `M ${middle} ${middle} L ${at(from, radius)} A ${radius} ${radius} 0 0 1 ${at(to, radius)} Z`;
    picture.append(svg("path", { class: "bar", d: path }));
  });
  if (halfWidth < 175) {
    for (const edge of [middleOfSupport - halfWidth, middleOfSupport + halfWidth]) {
      picture.append(svg("path", { class: "edge", d: `M ${middle} ${middle} L ${at(edge, reach)}` }));
    }
  }
  for (const [angle, text] of [[0, "0°"], [90, "90°"], [180, "180°"], [-90, "-90°"]]) {
    const [x, y] = at(angle, reach + 8).split(" ").map(Number);
    picture.append(svg("text", { x, y: y + 3, "text-anchor": "middle" }, text));
  }
  const peak = -175 + 10 * counts.indexOf(most);
  const caption = name.replaceAll("_", " ");
  return titled(picture, caption, `${caption} of ${degrees.length} images, most near ${peak}°`);
}

function bars(values, coordinate) {
  const { name, unit, half_width: width } = coordinate;
  const reach = 1.25 * (width || 1);
  const counts = counted(values, -reach, reach, 25);
  const most = Math.max(1, ...counts);
  const picture = svg("svg", { viewBox: "0 0 110 80", width: 95, height: 69 });
  counts.forEach((count, bin) => {
    const height = (56 * count) / most;
    picture.append(svg("rect", { class: "bar", x: 5 + bin * 4, y: 62 - height, width: 3.4, height }));
  });
  picture.append(svg("path", { class: "axis", d: "M 5 62 H 105" }));
  for (const edge of [-width, width]) {
    const x = 55 + (50 * edge) / reach;
    picture.append(svg("path", { class: "edge", d: `M ${x} 4 V 62` }));
    picture.append(svg("text", { x, y: 73, "text-anchor": "middle" }, edge.toPrecision(2)));
  }
  const title = `${name.replaceAll("_", " ")}, ${unit}`;
  const upTo = unit === "px" && state.images.sizes_differ ? "up to " : "";
  return titled(picture, title, `${title} of ${values.length} images, support ${upTo}± ${width.toPrecision(3)}`);
}

// How far two halves of a group agree (up), from coarse details to fine ones (right).
function agreement({ frequency, correlation, resolutions, thresholds, words }) {
  const [left, right, top, bottom] = [24, 124, 6, 62];
  const x = (f) => left + (right - left) * (f / 0.5);
  const y = (c) => bottom - (bottom - top) * Math.max(0, Math.min(1, c));
  const picture = svg("svg", { viewBox: "0 0 142 78", width: 170, height: 94 });
  thresholds.forEach((threshold, i) => {
    picture.append(svg("path", { class: "axis", "stroke-dasharray": "2 3", d: `M ${left} ${y(threshold)} H ${right}` }));
    picture.append(svg("text", { x: left - 3, y: y(threshold) + 3, "text-anchor": "end" }, threshold.toFixed(1)));
    const found = resolutions[i];
    if (found !== null) picture.append(svg("path", { class: "mark", d: `M ${x(1 / found)} ${y(threshold)} V ${bottom}` }));
  });
  picture.append(svg("text", { x: left - 3, y: top + 4, "text-anchor": "end" }, "1"));
  for (const pixels of [8, 4, 2]) {
    picture.append(svg("text", { x: x(1 / pixels), y: 73, "text-anchor": "middle" }, pixels === 2 ? "2 px" : String(pixels)));
  }
  picture.append(svg("path", { class: "axis", d: `M ${left} ${top} V ${bottom} H ${right}` }));
  const points = frequency.map((f, i) => `${x(f).toFixed(1)} ${y(correlation[i]).toFixed(1)}`);
  picture.append(svg("path", { class: "curve", d: `M ${points.join(" L ")}` }));
  return titled(picture, "agreement of two halves", words);
}

function posePlots(members, turned = 0) {
  return state.images.coordinates.map((coordinate, t) => {
    const values = members.map((id) => state.images.pose[t][id]);
    return coordinate.unit === "deg" ? rose(values, coordinate, -turned) : bars(values, coordinate);
  });
}
