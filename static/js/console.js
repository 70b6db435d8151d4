/* What every page does beyond links and forms. Elements are found by data attributes, which each module names at its
   top; without scripts pages still work. This module names all others, so that a browser loads them at once. */

import { all } from "./dom.js";
import { show } from "./dialogs.js";
import "./tables.js";
import "./toasts.js";
import "./clipboard.js";
import "./preferences.js";
import "./menus.js";
import "./drawer.js";
import "./history.js";
import "./requests.js";
import "./polling.js";
import "./selection.js";
import "./keyboard.js";

/* Over the drawer, if that is open. */
/** @type {HTMLDialogElement[]} */
const shownAtOnce = all("dialog[data-shown]");
shownAtOnce.forEach(show);
