// Copyright: brickwork.storage contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What the reader asks for: words to search, and states of health.

import { byId, element } from "./dom.js";
import { STATES, badge } from "./words.js";

/** Make the controls. Args: lines; asked: called with the search and the set of states after each change. Returns how to show others. */
export function makeFilters({ lines, asked }) {
  const states = new Set();
  const input = element("input", {
    type: "search",
    id: "query",
    placeholder: "a name, a mount point, an address, host:db1",
    autocomplete: "off",
    spellcheck: "false",
    oninput: tell,
  });
  const buttons = STATES.map((state) => stateButton(state, lines, () => toggle(state)));
  const clear = element("button", { type: "button", class: "quiet", onclick: () => show("", []) }, "Clear");

  function tell() {
    buttons.forEach(({ state, button }) => button.setAttribute("aria-pressed", states.has(state)));
    clear.hidden = !input.value && !states.size;
    asked(input.value, new Set(states));
  }

  function toggle(state) {
    if (!states.delete(state)) states.add(state);
    tell();
  }

  function show(query, wanted) {
    input.value = query;
    states.clear();
    wanted.forEach((state) => states.add(state));
    tell();
  }

  const label = element("label", { for: "query" }, "Search");
  const group = element("div", { role: "group", "aria-label": "Health", class: "states" }, ...buttons.map(({ button }) => button));
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(label, input, group, clear);
  return { show, query: () => input.value, states: () => [...states] };
}

function stateButton(state, lines, press) {
  const number = lines.filter((line) => line.health === state).length;
  const face = badge(state);
  const button = element(
    "button",
    { type: "button", class: "state", "aria-pressed": "false", disabled: number === 0, onclick: press, "data-state": state },
    face,
    element("span", { class: "number" }, number.toLocaleString("en")),
  );
  return { state, button };
}
