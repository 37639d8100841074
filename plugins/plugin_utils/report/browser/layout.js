// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Where the nodes of a graph stand. Lines lie one under another; what several lines share stands in their middle.

import { COLUMNS } from "./graph.js";

export const NODE = { height: 42, gap: 10, column: 30, narrowest: 132, widest: 210 };
const HEADING = 26;
const ROW = NODE.height + NODE.gap;
// Between two lines, so that the paths of one are seen to belong together.
const BETWEEN = 10;

/**
 * Place a graph.
 *
 * Returns the columns that have nodes with their x, the nodes by id with x and y, and the size of the whole.
 */
export function layout({ nodes }, lines, available) {
  const names = COLUMNS.filter((column) => nodes.some((node) => node.column === column));
  const free = (available - NODE.column * (names.length - 1)) / Math.max(names.length, 1);
  const width = Math.floor(Math.min(Math.max(free, NODE.narrowest), NODE.widest));
  const columns = names.map((name, place) => ({ name, x: place * (width + NODE.column) }));
  const bands = bandsOf(nodes, lines);
  const placed = new Map();
  for (const { name, x } of columns) {
    const own = nodes.filter((node) => node.column === name);
    const wished = own.map((node) => ({ node, y: mean([...node.tracks].map((track) => within(node, own, bands.get(track)))) }));
    for (const { node, y } of apart(wished)) placed.set(node.id, { ...node, x, y: y + HEADING, width });
  }
  const bottom = Math.max(0, ...[...placed.values()].map((node) => node.y)) + NODE.height;
  const total = columns.length * (width + NODE.column) - NODE.column;
  return { columns, nodes: placed, width: Math.max(total, 0), height: bottom, nodeWidth: width };
}

/** The rows that each line takes: as many as its paths or its mounts. */
function bandsOf(nodes, lines) {
  const bands = new Map();
  let top = 0;
  for (const line of lines) {
    const rows = nodes.filter((node) => node.row !== null && node.tracks.has(line.place)).map((node) => node.row + 1);
    const height = Math.max(1, ...rows) * ROW;
    bands.set(line.place, { top, height });
    top += height + BETWEEN;
  }
  return bands;
}

/** Where a node would stand for one of its lines: in its row, the rows of a column in the middle of the line. */
function within(node, own, band) {
  if (node.row === null) return band.top + (band.height - ROW) / 2;
  const siblings = own.filter((other) => other.row !== null && [...node.tracks].some((track) => other.tracks.has(track))).length;
  return band.top + (band.height - siblings * ROW) / 2 + node.row * ROW;
}

/** Move nodes of a column apart that would lie on one another, the whole column as little as possible. */
function apart(wished) {
  const ordered = [...wished].sort((a, b) => a.y - b.y);
  let floor = -Infinity;
  const moved = ordered.map(({ node, y }) => {
    floor = Math.max(y, floor + ROW);
    return { node, wish: y, y: floor };
  });
  const excess = mean(moved.map(({ y, wish }) => y - wish));
  const shift = Math.min(excess, Math.max(0, moved[0]?.y ?? 0));
  return moved.map(({ node, y }) => ({ node, y: y - shift }));
}

function mean(numbers) {
  return numbers.length ? numbers.reduce((sum, number) => sum + number, 0) / numbers.length : 0;
}
