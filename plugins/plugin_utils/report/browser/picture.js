// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The picture: volume, backend, portals, host, paths, device and mount of the lines that are looked at.

import { byId, drawn } from "./dom.js";
import { graph } from "./graph.js";
import { NODE, layout } from "./layout.js";
import { count, fitting, shape } from "./words.js";

// So many rows can be followed by eye where somebody asked for these lines, and where nobody asked for any.
const ROWS = { asked: 60, unasked: 16 };
const PADDING = 11;

/**
 * Draw some lines, as many as can be followed.
 *
 * Args: lines: the ones looked at; fleet; chosen: whether these are what one volume is about; asked: whether somebody asked for them;
 * search: called with the search that finds the node clicked on.
 */
export function drawPicture({ lines, fleet, chosen, asked, search }) {
  const shown = byHost(followable(lines, asked ? ROWS.asked : ROWS.unasked));
  const container = byId("picture");
  const family = getComputedStyle(container).fontFamily;
  const whole = graph(shown, fleet);
  const placed = layout(whole, shown, container.clientWidth - 2);
  const root = drawn("svg", {
    // A little more, for the outlines.
    viewBox: `-1 -1 ${placed.width + 2} ${placed.height + 2}`,
    width: placed.width + 2,
    height: placed.height + 2,
    role: "group",
    "aria-label": "Volumes, backends, portals, hosts, paths, devices and mounts",
  });
  root.append(
    ...placed.columns.map(({ name, x }) => drawn("text", { x: x + 2, y: 12, class: "heading" }, name)),
    ...whole.edges.map((edge) => drawEdge(edge, placed)),
    ...[...placed.nodes.values()].map((node) => drawNode(node, family, search)),
  );
  followWhatIsPointedAt(root);
  container.replaceChildren(root);
  byId("picture-note").textContent = note(lines, shown, chosen);
}

function followable(lines, most) {
  let rows = 0;
  return lines.slice(0, most).filter((line, place) => (rows += Math.max(1, line.expected, line.mounts.length)) <= most || place === 0);
}

/** The lines of each host together, the hosts in the order of the table, so that few edges cross. */
function byHost(lines) {
  const hosts = [...new Set(lines.map((line) => line.host))];
  return hosts.flatMap((host) => lines.filter((line) => line.host === host));
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

function drawNode(node, family, search) {
  const { x, y, width, label, sub, health, tracks } = node;
  const room = width - 2 * PADDING;
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
    drawn("text", { x: PADDING, y: sub ? 18 : 26, class: "label" }, fitting(label, sub ? room : room - 16, `600 13px ${family}`)),
    drawn("text", { x: PADDING, y: 33, class: "sub" }, fitting(sub, room - 16, `11.5px ${family}`)),
  );
  if (health !== "unused") group.append(shape(health, { transform: `translate(${width - 20} ${sub ? 23 : 15})` }));
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
