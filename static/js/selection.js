/* Selection: <form data-select> with input[data-all], input[data-row], [data-bulk] (shown with a selection),
   [data-count] in it, input[type=hidden][data-matching] and a button [data-select-matching] for "all N". */

import { all, find, get, message, on } from "./dom.js";
import { announce } from "./toasts.js";

/** @type {HTMLInputElement | null} the row selected last, where a range starts */
let last = null;
/** @type {WeakMap<HTMLFormElement, string>} the number that was announced */
const announced = new WeakMap();

/**
 * @param {HTMLFormElement} form
 * @returns {HTMLInputElement[]}
 */
const rowsOf = (form) => all("input[data-row]", form);
/** @param {HTMLInputElement | HTMLButtonElement} control */
const formOf = (control) => /** @type {HTMLFormElement} */ (control.form);

/**
 * Show what is selected.
 * @param {HTMLFormElement} form
 */
function update(form) {
  const rows = rowsOf(form);
  const selected = rows.filter((row) => row.checked).length;
  /** @type {HTMLInputElement | null} */
  const head = find("input[data-all]", form);
  if (head) {
    head.checked = selected > 0 && selected === rows.length;
    head.indeterminate = selected > 0 && selected < rows.length;
  }
  for (const row of rows) row.closest("tr")?.setAttribute("aria-selected", String(row.checked));
  /** @type {HTMLInputElement | null} */
  const matching = find("input[data-matching]", form);
  const everything = matching?.value === "1";
  const count = everything ? (matching.dataset.total ?? "") : String(selected);
  const bar = find("[data-bulk]", form);
  if (bar) bar.hidden = !selected && !everything;
  for (const place of all("[data-count]", form)) place.textContent = count;
  // Cells that are renewed settle too: what was announced is not announced at each of them.
  if (count !== (announced.get(form) ?? "0")) announce(message("selected").replace("{n}", count));
  announced.set(form, count);
}
/** @param {HTMLFormElement} form */
function deselectMatching(form) {
  /** @type {HTMLInputElement | null} */
  const matching = find("input[data-matching]", form);
  if (matching) matching.value = "";
}
/**
 * Select all rows of a form, or none.
 * @param {HTMLFormElement} form
 * @param {boolean} selected
 */
function selectRows(form, selected) {
  for (const row of rowsOf(form)) row.checked = selected;
}
/**
 * Select or deselect a row that a person has just changed, with shift those up to the row changed before.
 * @param {HTMLInputElement} row
 * @param {boolean} range
 */
function select(row, range) {
  const form = formOf(row);
  const rows = rowsOf(form);
  const [from, to] = [last ? rows.indexOf(last) : -1, rows.indexOf(row)];
  if (range && from >= 0 && to >= 0) {
    for (const one of rows.slice(Math.min(from, to), Math.max(from, to) + 1)) one.checked = row.checked;
  }
  last = row;
  deselectMatching(form);
  update(form);
}

on("change", "form[data-select] input[data-all]", (event, /** @type {HTMLInputElement} */ head) => {
  selectRows(formOf(head), head.checked);
  deselectMatching(formOf(head));
  update(formOf(head));
});
on("click", "form[data-select] input[data-row]", (event, /** @type {HTMLInputElement} */ row) => select(row, event.shiftKey));
on("keydown", "form[data-select] input[data-row]", (event, /** @type {HTMLInputElement} */ row) => {
  if (event.key !== " " || !event.shiftKey) return;
  event.preventDefault();
  row.checked = !row.checked;
  select(row, true);
});
on("click", "[data-select-matching]", (event, /** @type {HTMLButtonElement} */ button) => {
  /** @type {HTMLInputElement} */
  const matching = get("input[data-matching]", formOf(button));
  matching.value = "1";
  selectRows(formOf(button), true);
  update(formOf(button));
});
on("click", "[data-select-none]", (event, /** @type {HTMLButtonElement} */ button) => {
  selectRows(formOf(button), false);
  deselectMatching(formOf(button));
  update(formOf(button));
});

function updateAll() {
  /** @type {HTMLFormElement[]} */
  const forms = all("form[data-select]");
  forms.forEach(update);
}
document.addEventListener("htmx:afterSwap", updateAll); // at once, so that no empty bar is seen
document.addEventListener("htmx:afterSettle", updateAll); // cells that are renewed later count, too
updateAll();
