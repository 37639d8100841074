// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What things are called, and how they are written.

import { drawn, element } from "./dom.js";

/** The states of health, the worst first, each with the shape that tells it where colours do not. */
export const STATES = ["failed", "degraded", "unknown", "ok"];
const SHAPES = {
  failed: "M2 2h8v8h-8z",
  degraded: "M6 1l5.5 10h-11z",
  unknown: "M6 1.5a4.5 4.5 0 1 0 .01 0zM6 3.5a2.5 2.5 0 1 1 -.01 0z",
  ok: "M6 1a5 5 0 1 0 .01 0z",
};
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** The worst of several states. */
export function worst(states) {
  return states.reduce((found, state) => (severity(state) > severity(found) ? state : found), "ok");
}

/** How bad a state is, 0 for ok. */
export function severity(state) {
  return STATES.length - 1 - STATES.indexOf(state);
}

/** The shape of a state, for a drawing. */
export function shape(state, attributes = {}) {
  return drawn("path", { d: SHAPES[state], class: `shape ${state}`, "fill-rule": "evenodd", ...attributes });
}

/** A state in the text: its shape and its word. */
export function badge(state) {
  const icon = drawn("svg", { viewBox: "0 0 12 12", "aria-hidden": "true", class: "icon" }, shape(state));
  return element("span", { class: `badge ${state}` }, icon, state);
}

/** A number of bytes for a person. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "";
  const unit = bytes ? Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1) : 0;
  const amount = bytes / 1024 ** unit;
  return `${amount.toLocaleString("en", { maximumFractionDigits: 1 })} ${UNITS[unit]}`;
}

/** How many of what: "1 volume", "5,000 volumes". */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** A moment as people write it, in UTC. */
export function moment(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  return `${date.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short", timeZone: "UTC" })} UTC`;
}

const ruler = document.createElement("canvas").getContext("2d");

/** A text cut so that it fits into a width, in its middle: beginning and end say most of a device or a mount point. */
export function fitting(text, width, font) {
  ruler.font = font;
  let kept = text.length;
  let cut = text;
  while (kept > 2 && ruler.measureText(cut).width > width) {
    kept -= 1;
    cut = `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
  }
  return cut;
}
