"use strict";
// Overview and one card for each group.

function drawOverview() {
  const { images, groups } = state;
  const filled = groups.filter((group) => group.size).length;
  const count = (array, from) => array.reduce((sum, value) => sum + (value >= from), 0);
  const confidence = images.confidence.reduce((sum, value) => sum + value, 0) / (255 * Math.max(images.count, 1));
  const odd = count(images.outlier, 1000 * images.odd);
  const card = (value, text) => el("div", { class: "card" }, el("b", {}, value), el("span", {}, text));
  const { trust } = state;
  const believed = trust
    ? [el("div", { class: "card" }, el("b", {}, badge(trust.value, trust.word)), el("span", {}, `trust: ${trust.text}`))] : [];
  document.getElementById("facts").replaceChildren(
    ...believed,
    card(String(filled), "groups with images"),
    card(images.count.toLocaleString("en"), images.count < images.total ? `of ${images.total.toLocaleString("en")} images shown` : "images"),
    card(percent(confidence), "mean confidence of an image"),
    card(String(odd), `outliers (score ${images.odd} or more)`),
  );
  document.getElementById("findings").replaceChildren(...state.findings.map(({ text, group }) =>
    el("li", {}, group === null ? text : el("a", { href: `#group-${group}` }, text))));
}

// A trust as number, word, colour and shape, so that it can be read without colour.
function badge(value, word) {
  const sign = { firm: "●", fair: "◐", doubtful: "○" }[word];
  return el("span", { class: `trust ${word}` }, `${sign} ${value.toFixed(2)} ${word}`);
}

function canonicalFigure(group) {
  const picture = el("img", { class: "canonical", src: group.canonical, alt: `canonical image of group ${group.name}` });
  return el("figure", {}, picture, el("figcaption", {}, "canonical"));
}

// The average beside the canonical image; it opens at full size. `where` is for keys: a dialog shows groups, too.
function averageFigure(group, index, where = "") {
  if (!group.average) return null;
  const picture = el("img", { class: "average", src: group.average.picture, alt: `average of group ${group.name}` });
  const label = `average of group ${group.name}, at full size`;
  return el("figure", {},
    el("button", { type: "button", class: "picture", "aria-label": label, "data-key": `${where}average ${group.id}`, click: () => showAverage(index) }, picture),
    el("figcaption", {}, "average"));
}

// How fine the details of the average are, in words and as a curve.
function averageFacts(group) {
  if (group.average === undefined) return [];
  const heading = el("h4", {}, "Average at full resolution");
  if (!group.average) {
    return [heading, el("p", { class: "soft small" }, "There is none yet: the group was split after the averages were made.",
      " Start the explorer again, or make the report again.")];
  }
  const curve = group.average.frequency.length ? [agreement(group.average)] : [];
  return [heading, el("div", { class: "halves" }, ...curve, el("p", { class: "small" }, group.average.words))];
}

// Orders of symmetry of a group's clusters, such as "1" or "2, 1".
function symmetryText(order) {
  return [...order].every((letter) => "1, ".includes(letter)) ? "no symmetry" : `symmetry of order ${order}`;
}

// How many images of a kept group are junk.
function junkText(group) {
  return group.junked && !group.junk ? ` (${group.junked} junk)` : "";
}

// What there is to say of a group: trust, sizes, confidence, symmetry.
function groupLines(group, members) {
  const odd = members.filter(isOutlier).length;
  const label = group.label ? `, ${percent(group.label_share)} labelled ${group.label}` : "";
  const line = (text) => el("div", { class: "soft small" }, text);
  return [
    ...(group.trusted ? [el("div", { class: "small" }, "trust ", badge(group.trust, group.trusted))] : []),
    line(`${group.junk ? "junk, " : ""}${odd ? `${odd} outliers, ` : ""}${group.size} images${junkText(group)}, ${percent(group.confidence)} sure${label}`),
    ...(group.made ? [line("made by hand: no cluster, only the images that were moved here")] : []),
    ...(group.order ? [line(`${symmetryText(group.order)}, consistency of the frame ${group.consistency}`)] : []),
    ...(group.turned && !state.live ? [line(`frame turned by hand: ${group.turned}`)] : []),
  ];
}

// The members of a group to look at first; `which` is typical or doubtful.
function examples(group, which, where = "") {
  const label = `most ${which} of group ${group.name}`;
  return [el("h4", {}, `Most ${which}`), thumbs(group[which], label, { key: `${where}${which} ${group.id}` })];
}

function groupCard(group, index) {
  const members = membersOf(index);
  const button = (text, what, act, label = null) => el("button", { type: "button", class: "small", "aria-label": label, "data-key": `${what} ${group.id}`, click: () => act(index) }, text);
  return el("article", { class: "group", id: `group-${index}` },
    el("header", {},
      canonicalFigure(group), averageFigure(group, index),
      el("div", {}, el("div", { class: "row" }, el("h3", {}, `Group ${group.name}`), groupTick(group, index)),
        ...groupLines(group, members),
        el("div", { class: "row" }, button("All members", "members", showMembers),
          group.alike === null ? null : button("Compare", "compare", showCompare, `Compare group ${group.name} with another`)))),
    state.live && state.live.groupTools(index),
    ...examples(group, "typical"), ...examples(group, "doubtful"), ...averageFacts(group),
    el("h4", {}, "Poses"), el("div", { class: "plots" }, ...posePlots(members, group.degrees)),
  );
}

// The tick of a group selects all of its images.
function groupTick(group, index) {
  const tick = el("input", {
    type: "checkbox", "data-group": index, "data-key": `tick ${group.id}`, "aria-label": `select group ${group.name}`,
    change: () => pickGroup(index, tick.checked),
  });
  return el("label", { class: "small" }, tick, " select");
}

// Ways to sort the groups: a number of each, the largest first.
const SORTS = {
  "largest first": (group) => group.size,
  "smallest first": (group) => -group.size,
  "least trust first": (group) => -(group.trust ?? 2),
  "most trust first": (group) => group.trust ?? -1,
  "lowest confidence first": (group) => -group.confidence,
  "highest confidence first": (group) => group.confidence,
  "most outliers first": (group, index) => membersOf(index).filter(isOutlier).length / group.size,
  "finest detail first": (group) => -(detailOf(group) ?? Infinity),
  "coarsest detail first": (group) => detailOf(group) ?? -Infinity,
};

// What not every run knows of its groups, by the word in the names of sorts that need it.
const KNOWN = { trust: (group) => group.trust !== undefined, detail: (group) => detailOf(group) !== null };

// The finest detail of the average in pixels, as its words say it first; null: it is not known.
function detailOf(group) {
  return group.average?.resolutions[0] ?? null;
}

function sortedGroups() {
  const value = SORTS[document.getElementById("sort").value];
  const filled = state.groups.map((group, index) => [index, group]).filter(([, group]) => group.size);
  const keyed = filled.map(([index, group]) => [index, value(group, index)]);
  return keyed.sort((a, b) => b[1] - a[1]).map(([index]) => index);
}

function startGroups() {
  const unknown = Object.keys(KNOWN).filter((word) => !state.groups.some(KNOWN[word]));
  const names = Object.keys(SORTS).filter((name) => !unknown.some((word) => name.includes(word)));
  const sort = document.getElementById("sort");
  sort.replaceChildren(...names.map((name) => el("option", {}, name)));
  sort.addEventListener("change", drawGroups);
}

function drawGroups() {
  const order = sortedGroups();
  document.getElementById("groups").replaceChildren(
    ...order.map((index) => groupCard(state.groups[index], index)));
  const empty = state.groups.filter((group) => !group.size).map((group) => group.name);
  document.getElementById("empty").textContent = empty.length ? `Without images: ${empty.join(", ")}.` : "";
  document.getElementById("outliers").replaceChildren(thumbs(state.outliers, "outliers"));
  showPicked();
}
