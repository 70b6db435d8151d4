/* Requests about scans say which image is open and which rows are shown as unfinished, so that the response renews what
   has changed. */

import { all, find } from "./dom.js";

const ENDED = ["scanned", "failed", "cancelled"];

const unfinished = () =>
  all('[data-state="queued"], [data-state="running"]').map((cell) => {
    const summary = cell.closest("#image-summary");
    return summary instanceof HTMLElement ? summary.dataset.image : cell.parentElement?.id.replace("status-", "");
  });

document.addEventListener("htmx:configRequest", (event) => {
  const { elt, parameters, verb } = event.detail;
  const summary = find("#image-summary");
  if (summary && (verb === "post" || elt.matches("[data-poll], #progress"))) {
    const { image, scanned } = summary.dataset;
    const state = find("[data-state]", summary)?.dataset.state ?? "";
    Object.assign(parameters, { drawer: image, drawer_state: state, drawer_scanned: scanned });
  }
  if (verb === "post") parameters.live = unfinished().join(",");
});

/* The rows of runs in progress and of their scans are renewed with the summary above the list. */
document.addEventListener("htmx:configRequest", (event) => {
  const { elt, parameters } = event.detail;
  if (elt.matches("#run, #going")) parameters.going = all("[data-going]").map((cell) => cell.dataset.going).join(",");
});

/* When the scan of the image in the drawer has ended, its open tab is loaded anew. */
document.addEventListener("htmx:oobAfterSwap", ({ detail: { target } }) => {
  if (target?.id !== "image-summary") return;
  const state = find("#image-summary [data-state]")?.dataset.state ?? "";
  const before = target.dataset.was;
  if (find("#findings") && before && before !== state && ENDED.includes(state)) {
    target.dataset.was = state; // the event comes once for each element of the response
    find(".tabs [aria-selected=true]")?.click();
  }
});
