/* Custom list management: columns move in the dialog by buttons, Alt with an arrow key, or the pointer. The form is sent
   by Save and Reset alone. */

import { all, find, get, on } from "./dom.js";
import { liveRegion } from "./toasts.js";

/**
 * The lines of the columns that are shown and may move.
 * @param {Element} line
 */
const movable = (line) =>
  all("[data-column]:not([hidden])", line.parentElement ?? undefined).filter((one) => find("input", one));

/**
 * Have it read out where a column is now.
 * @param {HTMLElement} line
 * @param {number} position from 1
 */
const announcePosition = (line, position) => (liveRegion.textContent = `${line.textContent.trim()}: ${position}`);

/**
 * @param {HTMLElement} line
 * @param {1 | -1} step
 */
function move(line, step) {
  const lines = movable(line);
  const at = lines.indexOf(line);
  const other = lines[at + step];
  if (other) other[step < 0 ? "before" : "after"](line);
  announcePosition(line, at + 1 + (other ? step : 0));
}

/**
 * @param {ParentNode} form
 * @param {string} name
 * @param {boolean} shown
 */
function showColumn(form, name, shown) {
  const line = get(`[data-column="${name}"]`, form);
  /** @type {HTMLInputElement} */
  const input = get("input", line);
  /** @type {HTMLInputElement} */
  const box = get(`[name="box"][value="${name}"]`, form);
  line.hidden = !shown;
  input.disabled = !shown;
  box.checked = shown;
  if (shown) line.parentElement?.append(line);
  get("[data-shown]", form).textContent = String(all("[data-column]:not([hidden])", form).length);
}

on("click", ".order button", (event, /** @type {HTMLButtonElement} */ button) => {
  event.preventDefault();
  if (button.name === "hide") showColumn(/** @type {HTMLFormElement} */ (button.form), button.value, false);
  else move(/** @type {HTMLElement} */ (button.closest("li")), button.name === "up" ? -1 : 1);
  button.focus();
});
on("keydown", ".order [data-column]", (event, /** @type {HTMLElement} */ line) => {
  const step = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
  if (!event.altKey || !step) return;
  event.preventDefault();
  const focused = document.activeElement;
  move(line, step);
  if (focused instanceof HTMLElement) focused.focus();
});
on("change", '#columns [name="box"]', (event, /** @type {HTMLInputElement} */ box) => {
  showColumn(/** @type {HTMLFormElement} */ (box.form), box.value, box.checked);
});

/* By pointer: a line is picked up by its grip and goes where it is dropped. */
on("pointerdown", ".order [data-grip]", (event, grip) => {
  const line = /** @type {HTMLElement} */ (grip.closest("li"));
  event.preventDefault();
  line.classList.add("lift");
  /** @param {PointerEvent} event */
  const drag = ({ clientY }) => {
    const middle = (/** @type {HTMLElement} */ one) => one.getBoundingClientRect().top + one.offsetHeight / 2;
    const next = movable(line).find((one) => one !== line && clientY < middle(one));
    if (next) next.before(line);
    else movable(line).at(-1)?.after(line);
  };
  const dragging = new AbortController();
  const drop = () => {
    dragging.abort();
    line.classList.remove("lift");
    announcePosition(line, movable(line).indexOf(line) + 1);
  };
  document.addEventListener("pointermove", drag, { signal: dragging.signal });
  document.addEventListener("pointerup", drop, { signal: dragging.signal });
  document.addEventListener("pointercancel", drop, { signal: dragging.signal });
});
