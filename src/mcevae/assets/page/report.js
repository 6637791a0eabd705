"use strict";
// The page without a server: all data are inside it.

const given = JSON.parse(document.getElementById("given").textContent);
readImages(given.images);
readGroups(given.groups);
state.strips = given.strips;
startGroups();
startBar();
drawOverview();
drawGroups();
startMap();
