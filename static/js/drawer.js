/* The drawer: the page of a row, over the list. Its address holds that of the list (console/listing/detail_panel.py).

   data-drawer                a link whose page opens in the drawer; data-drawer-step="next|previous" inside it */

import { all, find, on } from "./dom.js";
import { load, show, supersede } from "./dialogs.js";

/** @type {HTMLDialogElement | null} */
export const drawer = find("#drawer");

/** @param {string} url */
const pathOf = (url) => new URL(url, location.href).pathname;
/** @param {string} url */
export const withoutFragment = (url) => new URL(url, location.href).href.split("#")[0];
/**
 * The address of the list that an address of the drawer holds, or null.
 * @param {string} url
 */
export function listOf(url) {
  const list = new URL(url, location.href).searchParams.get("list");
  return list && withoutFragment(list);
}

/** The address of the list on the page. */
export let listAddress = withoutFragment(drawer?.dataset.list ?? location.href);
/** @param {string} url */
export const setListAddress = (url) => (listAddress = withoutFragment(url));
/** The address of what the drawer shows, or will. */
export let shownAddress = location.href;

/**
 * The address of the drawer with this page, over the list on the page.
 * @param {string} url
 */
export function drawerAddress(url) {
  const [address, list] = [new URL(url, location.href), new URL(listAddress)];
  address.searchParams.delete("list");
  const own = address.search ? `${address.search}&` : "?";
  return `${address.pathname}${own}list=${encodeURIComponent(list.pathname + list.search).replaceAll("%2F", "/")}`;
}

/** @returns {HTMLAnchorElement[]} */
const links = () => all("main a[data-drawer]");
/**
 * The link to the row of the list whose page this is.
 * @param {string} url
 */
const linkTo = (url) => links().find((link) => pathOf(link.href) === pathOf(url));
/**
 * The link to the row after or before that.
 * @param {string} url
 * @param {string | undefined} step
 */
function neighbour(url, step) {
  const link = linkTo(url);
  return link && links()[links().indexOf(link) + (step === "next" ? 1 : -1)];
}

/**
 * Open a page in the drawer.
 * @param {string} url
 * @param {{ push?: boolean }} [options] push: whether the address of the browser becomes that of the drawer
 */
export async function openDrawer(url, { push = true } = {}) {
  if (!drawer) return;
  const before = shownAddress;
  shownAddress = url;
  const changeAddress = () => {
    if (push) history[listOf(location.href) ? "replaceState" : "pushState"]({}, "", drawerAddress(url));
  };
  if (!(await load(drawer, url, { outlined: changeAddress }))) {
    if (shownAddress === url && drawer.open) shownAddress = before;
    return;
  }
  changeAddress();
  show(drawer);
  drawer.scrollTop = 0;
  updateStepButtons();
}
function updateStepButtons() {
  /** @type {HTMLButtonElement[]} */
  const buttons = all("[data-drawer-step]", drawer ?? undefined);
  for (const button of buttons) button.disabled = !neighbour(shownAddress, button.dataset.drawerStep);
}
/** @param {string | undefined} step "next" or "previous" row of the list */
export function stepDrawer(step) {
  const link = neighbour(shownAddress, step);
  if (link) openDrawer(link.href);
}

on("click", "a[data-drawer]", (event, /** @type {HTMLAnchorElement} */ link) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  openDrawer(link.href);
});
on("click", "[data-drawer-step]", (event, button) => stepDrawer(button.dataset.drawerStep));
drawer?.addEventListener("close", () => {
  supersede(drawer);
  drawer.classList.remove("waiting");
  if (listOf(location.href) === listAddress) history.pushState({}, "", listAddress);
  drawer.replaceChildren();
  linkTo(shownAddress)?.focus();
});
drawer?.addEventListener("click", (event) => event.target === drawer && drawer.close());
if (drawer?.open) {
  drawer.removeAttribute("open"); // so it is seen without scripts; with them it is a modal dialog
  show(drawer);
  updateStepButtons();
}
