/* Dialogs, and pages that are loaded into one.

   data-open="id", data-close open and close a <dialog>; a dialog with data-shown opens by itself
   data-dialog                a link whose page opens in #dialog */

import { byId, find, on } from "./dom.js";
import { moveIntoTopDialog } from "./toasts.js";

/** What takes longer shows the outline of what comes. */
export const SKELETON_MS = 300;

/**
 * Opens a dialog. If it is open and what had the focus in it is gone, the focus comes back.
 * @param {HTMLDialogElement} dialog
 */
export function show(dialog) {
  if (!dialog.open) dialog.showModal();
  else if (!dialog.contains(document.activeElement)) find("a[href], button", dialog)?.focus();
  moveIntoTopDialog();
}
on("click", "[data-open]", (event, button) => show(byId(button.dataset.open)));
on("click", "[data-close]", (event, button) => {
  event.preventDefault();
  button.closest("dialog")?.close();
});

/** @type {WeakMap<HTMLDialogElement, number>} the number of the newest request; the responses to older ones are left */
const newest = new WeakMap();

/**
 * Leave the response that is on its way to a dialog. Return the number of the next request.
 * @param {HTMLDialogElement} dialog
 */
export function supersede(dialog) {
  const number = (newest.get(dialog) ?? 0) + 1;
  newest.set(dialog, number);
  return number;
}

/**
 * Load a page into a dialog. Return whether it came, and is still wanted there.
 * @param {HTMLDialogElement} dialog
 * @param {string} url
 * @param {{ title?: string, outlined?: () => void }} [options] outlined is called if an outline of the page opens before
 * @returns {Promise<boolean>}
 */
export async function load(dialog, url, { title = "", outlined } = {}) {
  const number = supersede(dialog);
  let successful = false;
  /** @param {HtmxEvent} event */
  const listen = ({ target, detail }) => {
    if (target === dialog) successful = Boolean(detail.successful);
  };
  dialog.addEventListener("htmx:afterRequest", listen);
  const late = setTimeout(() => {
    if (!dialog.open) {
      /** @type {HTMLTemplateElement} */
      const skeleton = byId(`${dialog.id}-skeleton`);
      dialog.replaceChildren(skeleton.content.cloneNode(true));
      const heading = find("h2", dialog);
      if (heading) heading.textContent = title;
      outlined?.();
    } else dialog.classList.add("waiting");
    show(dialog);
  }, SKELETON_MS);
  await htmx.ajax("GET", url, { target: dialog, swap: "innerHTML", source: dialog }).catch(() => {});
  clearTimeout(late);
  dialog.removeEventListener("htmx:afterRequest", listen);
  if (number !== newest.get(dialog)) {
    if (!dialog.open) dialog.replaceChildren();
    return false;
  }
  dialog.classList.remove("waiting");
  // If loading failed, what was there stays, and no outline of what does not come.
  if (!successful && dialog.open && find(".loading[data-skeleton]", dialog)) dialog.close();
  return successful;
}

/** The dialog that pages open in. @type {HTMLDialogElement | null} */
export const pageDialog = find("#dialog");

/**
 * Open a page in the dialog of this page.
 * @param {string} url
 * @param {string} [title] of the outline
 */
export async function openPageDialog(url, title) {
  if (pageDialog && (await load(pageDialog, url, { title }))) show(pageDialog);
}
on("click", "a[data-dialog]", (event, /** @type {HTMLAnchorElement} */ link) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openPageDialog(link.href, link.title || link.textContent.trim());
});
pageDialog?.addEventListener("close", () => {
  supersede(pageDialog);
  pageDialog.replaceChildren();
});
