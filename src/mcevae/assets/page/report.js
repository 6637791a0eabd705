"use strict";
// A page without a server: everything lies inside it.

const given = JSON.parse(document.getElementById("given").textContent);
readImages(given.images);
readGroups(given.groups);
state.strips = given.strips;
drawOverview();
drawGroups();
startMap();
