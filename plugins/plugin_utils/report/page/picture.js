// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The picture: volume, backend, portals, host, paths, device and mount of the lines that are looked at.

import { byId, drawn } from "./dom.js";
import { graph } from "./graph.js";
import { NODE, layout } from "./layout.js";
import { count, shape, shortened } from "./words.js";

// More than these cannot be followed by eye.
const MOST_LINES = 12;
const MOST_ROWS = 40;
// The width of a letter, about, in the two sizes of text.
const LETTER = { label: 7.3, sub: 6.3 };

/**
 * Draw some lines, as many as can be followed.
 *
 * Args: lines: the ones looked at; fleet; chosen: whether these are what one volume is about; search: called with the search that finds
 * the node clicked on.
 */
export function drawPicture({ lines, fleet, chosen, search }) {
  const shown = followable(lines);
  const container = byId("picture");
  const whole = graph(shown, fleet);
  const placed = layout(whole, shown, container.clientWidth);
  const root = drawn("svg", {
    viewBox: `0 0 ${placed.width} ${placed.height}`,
    width: placed.width,
    height: placed.height,
    role: "group",
    "aria-label": "Volumes, backends, portals, hosts, paths, devices and mounts",
  });
  root.append(
    ...placed.columns.map(({ name, x }) => drawn("text", { x: x + 2, y: 12, class: "heading" }, name)),
    ...whole.edges.map((edge) => drawEdge(edge, placed)),
    ...[...placed.nodes.values()].map((node) => drawNode(node, search)),
  );
  followWhatIsPointedAt(root);
  container.replaceChildren(root);
  byId("picture-note").textContent = note(lines, shown, chosen);
}

function followable(lines) {
  let rows = 0;
  return lines.slice(0, MOST_LINES).filter((line) => (rows += Math.max(1, line.expected, line.mounts.length)) <= MOST_ROWS);
}

function note(lines, shown, chosen) {
  if (!lines.length) return "Nothing fits the filter.";
  if (chosen) return "The volume that you chose in the table, on every host that has it.";
  if (shown.length === lines.length) return "Choose a node to see all that belongs to it, or a volume in the table.";
  return `The first ${shown.length} of ${count(lines.length, "line")} of the table. Filter, sort or choose to see others.`;
}

function drawEdge({ from, to, health, dashed, tracks }, placed) {
  const [a, b] = [placed.nodes.get(from), placed.nodes.get(to)];
  const [x1, y1, x2, y2] = [a.x + a.width, a.y + NODE.height / 2, b.x, b.y + NODE.height / 2];
  const bend = Math.max(NODE.column / 2, (x2 - x1) / 2);
  const d = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  return drawn("path", { d, class: `edge ${health}${dashed ? " dashed" : ""}`, "data-tracks": [...tracks].join(" ") });
}

function drawNode(node, search) {
  const { x, y, width, label, sub, health, tracks } = node;
  const room = width - (health === "unused" ? 20 : 34);
  const told = [node.column, label, sub, health].filter(Boolean).join(", ");
  const act = node.search && (() => search(node.search));
  const group = drawn("g", {
    class: `node ${health}`,
    transform: `translate(${x} ${y})`,
    "data-tracks": [...tracks].join(" "),
    "data-search": node.search,
    ...(act ? { tabindex: 0, role: "button", onclick: act, onkeydown: (event) => pressed(event) && act() } : { role: "img" }),
    "aria-label": told,
  });
  group.append(
    drawn("title", {}, told),
    drawn("rect", { width, height: NODE.height, rx: 7, class: "box" }),
    drawn("text", { x: 12, y: sub ? 18 : 26, class: "label" }, shortened(label, Math.floor(room / LETTER.label))),
  );
  if (sub) group.append(drawn("text", { x: 12, y: 34, class: "sub" }, shortened(sub, Math.floor(room / LETTER.sub))));
  if (health !== "unused") group.append(shape(health, { transform: `translate(${width - 20} 8)` }));
  return group;
}

function pressed(event) {
  if (event.key !== "Enter" && event.key !== " ") return false;
  event.preventDefault();
  return true;
}

/** Whatever is pointed at, or has the focus, stands out with all that is on its way. */
function followWhatIsPointedAt(root) {
  const parts = [...root.querySelectorAll("[data-tracks]")].map((part) => [part, new Set(part.dataset.tracks.split(" "))]);
  const follow = (event) => {
    const tracks = event.target.closest?.("[data-tracks]")?.dataset.tracks.split(" ");
    for (const [part, own] of parts) part.classList.toggle("aside", Boolean(tracks) && !tracks.some((track) => own.has(track)));
  };
  const leave = () => parts.forEach(([part]) => part.classList.remove("aside"));
  for (const type of ["pointerover", "focusin"]) root.addEventListener(type, follow);
  for (const type of ["pointerleave", "focusout"]) root.addEventListener(type, leave);
}
