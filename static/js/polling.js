/* Polling: one request for the whole page, every 2 to 10 s, none while the tab is hidden.

   data-poll="url"            requested again and again; the response replaces the element, and one without data-poll
                              ends it */

import { find } from "./dom.js";

const POLL_MS = { first: 2000, last: 10000, growth: 1.5 };
let delay = POLL_MS.first;
let lastResponse = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

function schedule() {
  clearTimeout(timer);
  if (!document.hidden && find("[data-poll]")) timer = setTimeout(poll, delay);
}
function restart() {
  delay = POLL_MS.first;
  schedule();
}
async function poll() {
  const element = find("[data-poll]");
  if (!element) return;
  let response = "";
  element.addEventListener("htmx:afterRequest", (event) => (response = event.detail.xhr.responseText), { once: true });
  // If something done on the page has renewed the element meanwhile, that is newer than this response.
  element.addEventListener("htmx:beforeSwap", (event) => (event.detail.shouldSwap &&= element.isConnected), { once: true });
  await htmx.ajax("GET", element.dataset.poll ?? "", { source: element, target: element, swap: "outerHTML" }).catch(() => {});
  const changed = response && response !== lastResponse;
  delay = changed ? POLL_MS.first : Math.min(POLL_MS.last, delay * POLL_MS.growth);
  lastResponse = response;
  schedule();
}
document.addEventListener("visibilitychange", restart);
document.addEventListener("htmx:afterSettle", (event) => {
  const sender = event.detail.requestConfig?.elt ?? event.detail.elt; // a poll settles the cells that have changed, too
  if (!sender.matches("[data-poll]") && find("[data-poll]")) restart();
});
schedule();
