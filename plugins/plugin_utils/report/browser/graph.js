// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What the picture shows of some lines: nodes in columns, and the edges between them.

import { term } from "./fleet.js";
import { size, worst } from "./words.js";

export const COLUMNS = ["volume", "backend", "portal", "host", "path", "device", "mount"];
const WORKS = "running";

/**
 * The graph of some lines.
 *
 * A node has a column, an id, a label, a second line, its health, the search that finds it, the places of the lines that it is part of
 * (tracks), and for the columns from path on the row of its line that it stands in, from 0.
 */
export function graph(lines, fleet) {
  const nodes = new Map();
  const edges = new Map();
  const backends = new Map(fleet.backends.map((backend) => [backendId(backend.controller, backend.name), backend]));

  function node(line, column, id, values) {
    const known = nodes.get(id);
    if (known) known.tracks.add(line.place);
    else nodes.set(id, { id, column, sub: "", health: "ok", search: null, row: null, ...values, tracks: new Set([line.place]) });
    return id;
  }

  function edge(line, from, to, health, dashed = false) {
    if (from === null || to === null) return;
    const id = `${from} > ${to}`;
    const known = edges.get(id);
    if (known) {
      known.tracks.add(line.place);
      known.health = together([known.health, health]);
    } else edges.set(id, { from, to, health, dashed, tracks: new Set([line.place]) });
  }

  for (const line of lines) {
    const storage = addStorage(line, node, edge, backends);
    const host = line.host && node(line, "host", `host ${line.host.name}`, ofHost(line.host));
    if (!host) continue;
    const device = addDevice(line, node, edge);
    const ways = [...line.paths, ...line.missing.map((portal) => ({ device: null, portal, state: "no path" }))];
    ways.forEach((way, row) => addWay(line, way, row, { storage, host, device }, node, edge));
    if (!ways.length) {
      const seen = line.attached ? line.health : line.attached === null ? "unknown" : "degraded";
      edge(line, storage, host, seen, true);
      edge(line, host, device, line.health);
    }
  }
  for (const portal of nodes.values()) if (portal.column === "portal") portal.health = ofPortal(portal.id, edges);
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

function backendId(controller, name) {
  return `backend ${controller ?? ""}/${name}`;
}

/** The volume and its backend; return the id of what the portals are reached from. */
function addStorage(line, node, edge, backends) {
  const { volume } = line;
  if (!volume) return null;
  const id = `volume ${volume.id ?? volume.wwn ?? line.place}`;
  const shared = volume.shared ? " shared" : "";
  const own = { label: volume.name, sub: size(volume.size_bytes) + shared, health: volume.health, search: term("volume", volume.name) };
  node(line, "volume", id, own);
  if (!volume.backend) return id;
  const known = backends.get(backendId(volume.controller, volume.backend));
  const told = [volume.controller, known?.protocol ?? line.protocol].filter(Boolean).join(" · ");
  const backend = node(line, "backend", backendId(volume.controller, volume.backend), {
    label: volume.backend,
    sub: told,
    health: known?.health ?? "ok",
    search: term("backend", volume.backend),
  });
  edge(line, id, backend, volume.health);
  return backend;
}

/** What stands for the paths, and where it is mounted; return the device's id. */
function addDevice(line, node, edge) {
  if (!line.device) return null;
  const label = line.map ?? line.device;
  const sub = line.encrypted ? "encrypted" : line.map ? line.device : size(line.volume?.size_bytes);
  const device = node(line, "device", `device ${line.place}`, { label, sub, health: line.health, row: 0 });
  const uses = line.stack.flatMap((layer) => usesOf(layer));
  const shown = uses.length ? uses : [{ label: "not mounted", sub: onIt(line), health: "unused" }];
  shown.forEach((use, row) => {
    const mount = node(line, "mount", `mount ${line.place} ${row}`, { health: line.health, ...use, row });
    edge(line, device, mount, use.health ?? line.health);
  });
  return device;
}

/** Where a layer is used: its mount points, or that it is swapped to. */
function usesOf(layer) {
  const on = layer.kind === "volume" ? null : (layer.name ?? layer.kind);
  const sub = [layer.fstype, on].filter(Boolean).join(" on ");
  const points = layer.mount_points.map((point) => ({ label: point, sub, search: term("mount", point) }));
  return layer.swap ? [...points, { label: "swap", sub }] : points;
}

function onIt(line) {
  return [...new Set(line.stack.map((layer) => layer.fstype).filter(Boolean))].join(", ");
}

/** A path, by its portal from the storage to the host, and on to the device. */
function addWay(line, way, row, { storage, host, device }, node, edge) {
  const health = way.state === WORKS ? "ok" : "failed";
  const by = way.portal && node(line, "portal", `portal ${way.portal}`, { ...ofAddress(way.portal), search: term("portal", way.portal) });
  if (by) edge(line, storage, by, health);
  edge(line, by ?? storage, host, health);
  const label = way.device?.replace(/^\/dev\//, "") ?? "missing";
  const path = node(line, "path", `path ${line.place} ${row}`, { label, sub: way.state, health, row });
  edge(line, host, path, health, !way.device);
  edge(line, path, device, health, !way.device);
}

function ofAddress(portal) {
  const [, address, port, share] = /^(.*?):(?:(\d+)|(\/.*))$/.exec(portal) ?? [null, portal];
  return { label: address, sub: port ? `port ${port}` : (share ?? "") };
}

function ofHost(host) {
  return { label: host.name, sub: host.state === "told" ? "" : host.state, health: host.health, search: term("host", host.name) };
}

/** A portal is as good as what comes by it. */
function ofPortal(id, edges) {
  return together([...edges.values()].filter((edge) => edge.from === id).map((edge) => edge.health));
}

/** The health of what several use: it has failed only where it has for all of them. */
function together(states) {
  const found = worst(states);
  return found === "failed" && states.some((state) => state !== "failed") ? "degraded" : found;
}
