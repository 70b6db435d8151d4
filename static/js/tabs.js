/* The tabs of findings: the open one is marked, and arrow keys move between them. */

import { all, find, on } from "./dom.js";

document.addEventListener("htmx:afterSwap", () => {
  const name = find("#findings")?.dataset.tab;
  if (name) for (const tab of all('[role="tab"]')) tab.setAttribute("aria-selected", String(tab.id === `tab-${name}`));
  scrollToOpenTab();
});

/** Scroll the open tab into view if not all of them fit. */
function scrollToOpenTab() {
  const tab = find('[role="tab"][aria-selected="true"]');
  const bar = tab?.parentElement;
  if (bar && bar.scrollWidth > bar.clientWidth) bar.scrollLeft = tab.offsetLeft - (bar.clientWidth - tab.offsetWidth) / 2;
}
scrollToOpenTab();

on("keydown", '[role="tab"]', (event, tab) => {
  const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  const tabs = all('[role="tab"]', tab.parentElement ?? undefined);
  if (step) tabs.at((tabs.indexOf(tab) + step) % tabs.length)?.focus();
});
