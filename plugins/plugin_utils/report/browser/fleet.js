// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The fleet as the page holds it, and which of its lines a reader asks for.

import { severity } from "./words.js";

/** Read the fleet out of the page, each line with its volume and its host in it and the text that a search looks at. */
export function readFleet(text) {
  const fleet = JSON.parse(text);
  fleet.lines = fleet.lines.map((line, place) => {
    const full = {
      ...line,
      place,
      volume: line.volume === null ? null : fleet.volumes[line.volume],
      host: line.host === null ? null : fleet.hosts[line.host],
      mounts: line.stack.flatMap((layer) => layer.mount_points),
      working: line.paths.filter((path) => path.state === "running").length,
      expected: line.paths.length + line.missing.length,
    };
    full.portals = [...new Set([...line.paths.map((path) => path.portal).filter(Boolean), ...line.missing])];
    full.text = searched(full);
    return full;
  });
  return fleet;
}

/** What a search for "host:db1" and the like compares with, in full. */
const KEYS = {
  volume: (line) => [line.volume?.name, line.volume?.id, line.volume?.wwn],
  backend: (line) => [line.volume?.backend],
  controller: (line) => [line.volume?.controller],
  host: (line) => [line.host?.name],
  portal: (line) => line.portals,
  mount: (line) => line.mounts,
  protocol: (line) => [line.protocol],
};

/** The words of a search: each is looked for anywhere, or with "key:" in front compared with that alone. */
export function terms(query) {
  const found = [...query.matchAll(/(?:([a-z]+):)?("[^"]*"|\S+)/gi)];
  return found.map(([whole, key, word]) => {
    const known = key && Object.hasOwn(KEYS, key.toLowerCase());
    return { key: known ? key.toLowerCase() : null, word: unquoted(known ? word : whole).toLowerCase() };
  });
}

/** A term that finds one thing by its full name; a quotation mark in that is left out here as it is where names are compared. */
export function term(key, name) {
  return `${key}:${/[\s"]/.test(name) ? `"${unquoted(name)}"` : name}`;
}

function unquoted(text) {
  return text.replaceAll('"', "");
}

/** The lines that fit a search and are in one of the states of health, or all where none is chosen. */
export function chosenLines(lines, query, states) {
  const wanted = terms(query);
  return lines.filter((line) => (states.size === 0 || states.has(line.health)) && wanted.every((one) => fits(line, one)));
}

function fits(line, { key, word }) {
  if (key === null) return line.text.includes(word);
  return KEYS[key](line).some((value) => value && unquoted(value).toLowerCase() === word);
}

function searched(line) {
  const layers = line.stack.flatMap((layer) => [layer.device, layer.name, layer.fstype, layer.uuid, layer.label]);
  const own = Object.values(KEYS).flatMap((values) => values(line));
  const devices = [line.device, line.path, line.map, ...line.paths.map((path) => path.device)];
  return [...own, ...devices, ...layers, ...line.problems, line.health].filter(Boolean).join("\n").toLowerCase();
}

const natural = new Intl.Collator("en", { numeric: true });

/** What each column is sorted by. */
const ORDERS = {
  health: (a, b) => severity(a.health) - severity(b.health),
  volume: (a, b) => natural.compare(a.volume?.name ?? "", b.volume?.name ?? ""),
  size: (a, b) => (a.volume?.size_bytes ?? -1) - (b.volume?.size_bytes ?? -1),
  backend: (a, b) => natural.compare(a.volume?.backend ?? "", b.volume?.backend ?? ""),
  host: (a, b) => natural.compare(a.host?.name ?? "", b.host?.name ?? ""),
  paths: (a, b) => a.working - a.expected - (b.working - b.expected) || a.expected - b.expected,
  mounts: (a, b) => natural.compare(a.mounts[0] ?? "", b.mounts[0] ?? ""),
};

/** The lines in the order of a column; among equals by volume, then host. */
export function sorted(lines, { column, down }) {
  const sign = down ? -1 : 1;
  return [...lines].sort((a, b) => sign * ORDERS[column](a, b) || ORDERS.volume(a, b) || ORDERS.host(a, b));
}
