// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The fleet at a glance: how many are well, every host as a small field in the colour of its health, and how full the backends are.

import { byId, drawn, element } from "./dom.js";
import { term } from "./fleet.js";
import { STATES, badge, count, size } from "./words.js";

// So many hosts can be shown by their names.
const NAMED_HOSTS = 60;
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** Draw it. Args: fleet; search: called with the search that finds the host or the backend chosen. */
export function drawOverview({ fleet, search }) {
  const { volumes, hosts, paths, working_paths: working } = fleet.counts;
  byId("overview").append(
    tile("Volumes", fleet.volumes.length, volumes),
    tile("Hosts", fleet.hosts.length, hosts),
    tile("Paths", paths, { ok: working, failed: paths - working }, { ok: "work", failed: "do not work" }),
    backends(fleet, search),
    hostMap(fleet.hosts, search),
  );
}

function tile(title, total, states, words = {}) {
  const present = STATES.filter((state) => states[state]);
  const parts = present.map((state) => element("li", {}, badgeWith(state, states[state], words[state] ?? state)));
  return element(
    "div",
    { class: "card tile" },
    element("h2", {}, title),
    element("p", { class: "total" }, total.toLocaleString("en")),
    bar(present.map((state) => [state, states[state]]), total),
    element("ul", { class: "parts" }, ...parts),
  );
}

function badgeWith(state, number, word) {
  const made = badge(state);
  made.lastChild.textContent = `${number.toLocaleString("en")} ${word}`;
  return made;
}

/** A bar in parts; a part that is there is never too thin to be seen. */
function bar(parts, total) {
  const widths = parts.map(([, number]) => Math.max(1.5, (100 * number) / Math.max(total, 1)));
  const scale = 100 / Math.max(widths.reduce((sum, width) => sum + width, 0), 100);
  let x = 0;
  const drawnParts = parts.map(([state], place) => {
    const width = widths[place] * scale;
    x += width;
    return drawn("rect", { x: x - width, width: Math.max(width - 0.4, 0.5), height: 8, class: `part ${state}` });
  });
  return drawn("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", class: "bar", "aria-hidden": "true" }, ...drawnParts);
}

function backends(fleet, search) {
  const items = fleet.backends.map((backend) => backendItem(backend, search));
  const silent = fleet.controllers.filter((controller) => controller.problems.length).map((controller) => problemItem(controller));
  const nothing = element("p", { class: "note" }, "No controller was asked.");
  const list = items.length + silent.length ? element("ul", {}, ...silent, ...items) : nothing;
  return element("div", { class: "card wide backends" }, element("h2", {}, "Backends"), list);
}

function backendItem(backend, search) {
  if (backend.health !== "ok") return problemItem(backend);
  const { name, controller, total_bytes: total, free_bytes: free } = backend;
  const known = total !== null && free !== null && total > 0;
  const used = known ? (total - free) / total : 0;
  const state = used > 0.9 ? "degraded" : "used";
  return element(
    "li",
    {},
    element("button", { type: "button", class: "link", onclick: () => search(term("backend", name)) }, name),
    element("span", { class: "note" }, ` on ${controller}`),
    known ? element("span", { class: "room" }, `${size(free)} of ${size(total)} free`) : null,
    known ? bar([[state, used * 100]], 100) : null,
  );
}

function problemItem({ name, health, problems }) {
  return element("li", {}, badge(health), ` ${name}`, element("p", { class: "note" }, problems.join(" ")));
}

function hostMap(hosts, search) {
  const named = hosts.length <= NAMED_HOSTS;
  const fields = hosts.map((host, place) => hostField(host, named, place === 0, search));
  const map = element(
    "div",
    { class: `hosts ${named ? "named" : "many"}`, role: "toolbar", "aria-label": "Hosts", onkeydown: moveFocus },
    ...fields,
  );
  const hint = element("p", { class: "note" }, `${count(hosts.length, "host")}, each in the colour of its health. Choose one to see its volumes.`);
  return element("div", { class: "card wide" }, element("h2", {}, "Every host"), hint, map);
}

function hostField(host, named, first, search) {
  const told = host.state === "told" ? "" : `, ${host.state}`;
  const field = element("button", {
    type: "button",
    class: `host ${host.health}`,
    title: `${host.name}: ${host.health}${told}`,
    "aria-label": `${host.name}: ${host.health}${told}`,
    tabindex: first ? 0 : -1,
    onclick: () => search(term("host", host.name)),
  });
  if (named) field.append(...[...badge(host.health).childNodes].slice(0, 1), host.name);
  return field;
}

/** One stop for the tabulator key; arrows go from host to host. */
function moveFocus(event) {
  const fields = [...event.currentTarget.children];
  const now = fields.indexOf(document.activeElement);
  const ends = { Home: 0, End: fields.length - 1 };
  const next = fields[ends[event.key] ?? (event.key in STEPS ? now + STEPS[event.key] : -1)];
  if (!next) return;
  event.preventDefault();
  fields[now]?.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}
