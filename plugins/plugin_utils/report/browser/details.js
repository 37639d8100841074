// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// All that is known of one volume on one host, in words: what the picture shows, for those who do not see it, and more.

import { byId, element } from "./dom.js";
import { badge, size } from "./words.js";

/** Show a line, or nothing. Args: line; leave: called to look at all lines again. */
export function showDetails({ line, leave }) {
  byId("details").replaceChildren(...(line ? [article(line, leave)] : []));
}

function article(line, leave) {
  const names = [line.volume?.name, line.host?.name].filter(Boolean);
  return element(
    "article",
    {},
    element(
      "h3",
      {},
      badge(line.health),
      ` ${names.join(" on ")} `,
      element("button", { type: "button", class: "quiet", onclick: leave }, "Show all again"),
    ),
    line.problems.length ? element("ul", { class: "problems" }, ...line.problems.map((one) => element("li", {}, one))) : null,
    element("dl", {}, ...facts(line).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    line.expected ? pathsTable(line) : null,
    line.stack.length ? stackTable(line) : null,
  );
}

/** The facts that are known, each with its name. */
function facts(line) {
  const { volume, host } = line;
  const known = [
    ["Size", size(volume?.size_bytes)],
    ["Backend", [volume?.backend, volume?.controller].filter(Boolean).join(" on ")],
    ["Connected by the controller", said(line.held)],
    ["Used from", line.used_from.join(", ")],
    ["Attached on the host", said(line.attached)],
    ["Attached by this collection", line.attached ? said(line.recorded) : ""],
    ["Protocol", line.protocol],
    ["Path to use", line.path],
    ["Device", [line.device, line.map].filter(Boolean).join(", ")],
    ["Encrypted", line.encrypted ? "yes" : ""],
    ["Shared", volume?.shared ? "yes" : ""],
    ["WWN", volume?.wwn],
    ["Volume's id", volume?.id],
    ["Host", host && host.state !== "told" ? host.state : ""],
  ];
  return known.filter(([, value]) => value);
}

function said(answer) {
  return answer === null ? "not known" : answer ? "yes" : "no";
}

function pathsTable(line) {
  const missing = line.missing.map((portal) => ["none", portal, "no path came"]);
  const rows = [...line.paths.map((path) => [path.device, path.portal ?? "", path.state]), ...missing];
  return table("Paths", ["Device", "Portal", "State"], rows);
}

function stackTable(line) {
  const rows = line.stack.map((layer) => [
    [layer.device, layer.name].filter(Boolean).join(", "),
    layer.kind,
    size(layer.size_bytes),
    [layer.fstype, layer.label, layer.uuid].filter(Boolean).join(" "),
    [...layer.mount_points, ...(layer.swap ? ["swap"] : [])].join(", "),
  ]);
  return table("What stands on it", ["Device", "Kind", "Size", "Content", "Mounted at"], rows);
}

function table(caption, headings, rows) {
  const head = element("tr", {}, ...headings.map((heading) => element("th", { scope: "col" }, heading)));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
  const whole = element("table", {}, element("caption", {}, caption), element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": caption }, whole);
}
