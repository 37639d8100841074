// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The page: what the reader asks for, and everything drawn anew when that changes. The address keeps it, so that a view can be sent on.

import { showDetails } from "./details.js";
import { byId, element } from "./dom.js";
import { makeFilters } from "./filters.js";
import { chosenLines, readFleet, sorted } from "./fleet.js";
import { drawOverview } from "./overview.js";
import { drawPicture } from "./picture.js";
import { makeTable } from "./table.js";
import { STATES, moment } from "./words.js";

const fleet = readFleet(byId("fleet").textContent);
const asked = { query: "", states: new Set(), order: { column: "health", down: true }, chosen: null };

const showTable = makeTable({ sort, choose });
const filters = makeFilters({
  lines: fleet.lines,
  asked(query, states) {
    Object.assign(asked, { query, states, chosen: null });
    draw();
  },
});

function sort(column) {
  const again = asked.order.column === column;
  // What is worst, largest or most is asked for first.
  asked.order = { column, down: again ? !asked.order.down : ["health", "size"].includes(column) };
  draw();
}

function choose(line) {
  asked.chosen = asked.chosen === line ? null : line;
  draw();
  if (asked.chosen) byId("picture-heading").scrollIntoView({ block: "nearest" });
}

function draw() {
  const lines = sorted(chosenLines(fleet.lines, asked.query, asked.states), asked.order);
  showTable({ lines, all: fleet.lines.length, order: asked.order, chosen: asked.chosen });
  drawThePicture(lines);
  showDetails({ line: asked.chosen, leave: () => choose(asked.chosen) });
  history.replaceState(null, "", address());
}

function drawThePicture(lines) {
  const { chosen } = asked;
  const ofVolume = chosen && fleet.lines.filter((line) => line === chosen || (line.volume && line.volume === chosen.volume));
  drawPicture({
    lines: ofVolume ?? lines,
    fleet,
    chosen: Boolean(chosen),
    asked: Boolean(chosen || asked.query || asked.states.size),
    search: (query) => filters.show(query, []),
  });
}

function address() {
  const parts = new URLSearchParams();
  if (asked.query) parts.set("search", asked.query);
  if (asked.states.size) parts.set("health", [...asked.states].join(","));
  const text = parts.toString();
  return text ? `#${text}` : location.pathname + location.search;
}

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const states = (parts.get("health") ?? "").split(",").filter((state) => STATES.includes(state));
  filters.show(parts.get("search") ?? "", states);
}

function showUnclaimed() {
  const section = byId("unclaimed");
  section.hidden = fleet.unclaimed.length === 0;
  const items = fleet.unclaimed.map(({ where, name, problem }) => element("li", {}, element("strong", {}, `${name} on ${where}: `), problem));
  section.querySelector("ul").append(...items);
}

byId("made").textContent = moment(byId("made").dateTime);
drawOverview({ fleet, search: (query) => filters.show(query, []) });
showUnclaimed();
readAddress();
let width = byId("picture").clientWidth;
new ResizeObserver(() => {
  if (byId("picture").clientWidth === width) return;
  width = byId("picture").clientWidth;
  draw();
}).observe(byId("picture"));
addEventListener("hashchange", readAddress);
performance.mark("drawn");
