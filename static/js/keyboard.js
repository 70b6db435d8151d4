/* Single-key shortcuts, which a person can turn off.

   data-key="i"               a link that "g i" follows;  data-search: the field that "/" focuses
   data-shortcuts             the check box that turns them off */

import { find, get } from "./dom.js";
import { show } from "./dialogs.js";
import { drawer, stepDrawer } from "./drawer.js";

const PREFIX_MS = 1500; // how long "g" waits for the key that says where to

/** @type {HTMLInputElement | null} */
const enabled = find("[data-shortcuts]");
if (enabled) {
  enabled.checked = localStorage.getItem("shortcuts") !== "off";
  enabled.addEventListener("change", () => localStorage.setItem("shortcuts", enabled.checked ? "on" : "off"));
}
let prefixedAt = 0; // when "g" was pressed

document.addEventListener("keydown", (event) => {
  const typing =
    event.target instanceof Element &&
    event.target.matches("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !enabled?.checked) return;
  if (drawer?.open) {
    if (event.key === "j") stepDrawer("next");
    if (event.key === "k") stepDrawer("previous");
    return;
  }
  if (find("dialog[open]")) return;
  if (Date.now() - prefixedAt < PREFIX_MS) {
    prefixedAt = 0;
    find(`a[data-key="${CSS.escape(event.key)}"]`)?.click();
  } else if (event.key === "g") {
    prefixedAt = Date.now();
  } else if (event.key === "?") {
    show(get("#keys"));
  } else if (event.key === "/") {
    /** @type {HTMLInputElement | null} */
    const field = find("[data-search]");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select();
  }
});
