/* Toasts, and what is read out to who does not see the page. A toast stays for at least 6 s, and longer while it is
   pointed at or has the focus; one that reports an error stays until it is dismissed. */

import { all, csrfToken, find, get, on } from "./dom.js";

const TOAST_MS = { plain: 6000, undo: 10000 };

const toasts = get("#toasts");
/** Its text is read out as soon as it changes. */
export const liveRegion = get("#announce");

/** While a modal dialog is open, all outside of it is inert: toasts and the live region move into it. What is swapped
    there may remove them, hence the constants above. */
export function moveIntoTopDialog() {
  const top = all("dialog:modal").at(-1) ?? document.body;
  if (toasts.parentElement !== top) top.append(toasts, liveRegion);
}
document.addEventListener("close", moveIntoTopDialog, true);
document.addEventListener("htmx:afterSwap", moveIntoTopDialog);

/**
 * Have a text read out, also one that was read out just before.
 * @param {string} text
 */
export function announce(text) {
  moveIntoTopDialog();
  liveRegion.textContent = "";
  requestAnimationFrame(() => (liveRegion.textContent = text));
}

/** @param {HTMLElement} element */
function removeLater(element) {
  if (element.matches(".fault")) return;
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const start = () => {
    const duration = find(".undo:not([hidden])", element) ? TOAST_MS.undo : TOAST_MS.plain;
    timer = setTimeout(() => element.remove(), duration);
  };
  const stop = () => clearTimeout(timer);
  for (const type of ["pointerenter", "focusin"]) element.addEventListener(type, stop);
  for (const type of ["pointerleave", "focusout"]) element.addEventListener(type, start);
  start();
}

/**
 * Show a toast, and return its element.
 * @param {string} level "success", "error" or any other
 * @param {string} text
 * @param {{ undo?: string, links?: ToastLink[] }} [options] undo: the token that takes back what was done
 * @returns {HTMLElement}
 */
export function showToast(level, text, { undo = "", links = [] } = {}) {
  /** @type {HTMLTemplateElement} */
  const template = get("#toast");
  const element = /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
  element.classList.toggle("ok", level === "success");
  element.classList.toggle("fault", level === "error");
  get("strong", element).textContent = text;
  const more = get(".links", element);
  more.hidden = !links.length;
  for (const link of links) {
    const anchor = document.createElement("a");
    anchor.href = link.href;
    anchor.textContent = link.text;
    more.append(anchor);
  }
  get(".undo", element).hidden = !undo;
  /** @type {HTMLInputElement} */
  const undoToken = get(".undo [name=token]", element);
  undoToken.value = undo;
  /** @type {HTMLInputElement} */
  const csrf = get(".undo [name=csrfmiddlewaretoken]", element);
  csrf.value = csrfToken();
  moveIntoTopDialog();
  toasts.append(element);
  removeLater(element);
  return element;
}

document.addEventListener("toasts", (event) => {
  for (const { level, text, ...options } of event.detail.value ?? event.detail.toasts ?? []) showToast(level, text, options);
});
on("click", "[data-dismiss]", (event, button) => button.closest(".toast")?.remove());
all("#toasts > .toast").forEach(removeLater);
