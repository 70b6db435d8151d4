/* The page shows what its address says, however a person came to it. */

import { drawer, drawerAddress, listAddress, listOf, openDrawer, setListAddress, shownAddress, withoutFragment } from "./drawer.js";

/* Whoever moves in the history while a page is on its way gets that page under another address: what that address says
   is loaded, once. */
const [navigation] = performance.getEntriesByType("navigation");
const elsewhere = navigation && withoutFragment(navigation.name) !== withoutFragment(location.href);
if (elsewhere && history.state?.again !== location.href) {
  history.replaceState({ again: location.href }, "");
  location.reload();
}

/* An address that stays the same is no step back, and a tab that comes after its drawer was closed is no address. */
document.addEventListener("htmx:beforeHistoryUpdate", ({ detail: { history: update, target } }) => {
  if (!target.isConnected) update.path = location.href;
  else if (drawer?.contains(target)) update.path = drawerAddress(update.path);
  else {
    setListAddress(update.path);
    if (drawer?.open) [update.type, update.path] = ["replace", drawerAddress(shownAddress)]; // it was opened meanwhile
  }
  if (withoutFragment(update.path) === withoutFragment(location.href)) update.type = "replace";
});

/* A drawer opens and closes over the list on the page; whatever else history leads to is loaded anew. */
window.addEventListener("popstate", (event) => {
  event.stopImmediatePropagation(); // htmx would do the last of these, and only for its own addresses
  if (withoutFragment(location.href) === listAddress) {
    if (drawer?.open) drawer.close();
  } else if (listOf(location.href) === listAddress) openDrawer(location.href, { push: false });
  else location.reload();
});
