// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The table: a line for each volume on each host, in any order, a part of them at a time.

import { byId, element } from "./dom.js";
import { badge, count, size } from "./words.js";

// A page with all lines of a large fleet in it would take seconds to open.
export const PART = 100;

const CELLS = [
  { key: "health", title: "Health", cell: (line) => badge(line.health) },
  { key: "volume", title: "Volume" },
  { key: "size", title: "Size", cell: (line) => size(line.volume?.size_bytes), class: "number" },
  { key: "backend", title: "Backend", cell: (line) => line.volume?.backend ?? "" },
  { key: "host", title: "Host", cell: (line) => line.host?.name ?? "" },
  { key: "paths", title: "Paths", cell: (line) => (line.expected ? `${line.working}/${line.expected}` : ""), class: "number" },
  { key: "mounts", title: "Mounted at", cell: (line) => line.mounts.join(", ") },
  { key: null, title: "What is wrong", cell: (line) => wrong(line), class: "wrong" },
];

/**
 * Make the table.
 *
 * Args: sort: called with the column whose heading was chosen; choose: called with the line chosen. Returns how to show lines.
 */
export function makeTable({ sort, choose }) {
  const body = element("tbody");
  const headings = CELLS.map((column) => heading(column, sort));
  const more = element("button", { type: "button", class: "more" });
  const caption = element("caption", { class: "unseen" }, "A line for each volume on each host");
  const head = element("thead", {}, element("tr", {}, ...headings));
  byId("volumes").append(element("table", { class: "lines" }, caption, head, body), more);
  let rest = [];

  function append(lines, chosen) {
    body.append(...lines.map((line) => row(line, line === chosen, choose)));
    more.hidden = rest.length === 0;
    more.textContent = `Show ${Math.min(PART, rest.length)} more of ${rest.length.toLocaleString("en")}`;
  }

  more.addEventListener("click", () => {
    const next = rest.splice(0, PART);
    const first = body.children.length;
    append(next, null);
    body.children[first].querySelector("button")?.focus();
  });

  return function show({ lines, all, order, chosen }) {
    rest = lines.slice(PART);
    body.replaceChildren();
    append(lines.slice(0, PART), chosen);
    CELLS.forEach(({ key }, place) => {
      const direction = order.down ? "descending" : "ascending";
      if (key) headings[place].setAttribute("aria-sort", key === order.column ? direction : "none");
    });
    byId("count").textContent = lines.length === all ? count(all, "line") : `${lines.length.toLocaleString("en")} of ${count(all, "line")}`;
  };
}

function heading({ key, title, class: kind }, sort) {
  const inside = key ? element("button", { type: "button", onclick: () => sort(key), "data-sort": key }, title) : title;
  return element("th", { scope: "col", class: kind }, inside);
}

function row(line, isChosen, choose) {
  const cells = CELLS.map(({ title, key, cell, class: kind }) => {
    const inside = key === "volume" ? nameButton(line, isChosen) : cell(line);
    return element(key === "volume" ? "th" : "td", { "data-title": title, class: kind, scope: key === "volume" ? "row" : null }, inside);
  });
  return element("tr", { class: isChosen ? "chosen" : null, onclick: () => choose(line) }, ...cells);
}

/** What the keyboard chooses a line by. */
function nameButton(line, isChosen) {
  const name = line.volume?.name ?? line.host.name;
  return element("button", { type: "button", class: "link", "aria-pressed": isChosen ? "true" : "false" }, line.volume ? name : `(${name})`);
}

function wrong({ problems }) {
  if (!problems.length) return "";
  const others = problems.length > 1 ? element("span", { class: "note" }, ` and ${problems.length - 1} more`) : null;
  return element("span", { title: problems.join("\n") }, problems[0], others);
}
