/* Choosing images on the pages of scan settings and schedules. */

import { closest, find } from "./dom.js";

/* A search is not overwritten by the response to what was typed before. */
document.addEventListener("htmx:beforeSwap", (event) => {
  const field = document.activeElement;
  if (event.detail.target?.id !== "chooser" || !(field instanceof HTMLInputElement)) return;
  if (!field.matches('.pick input[type="search"]')) return;
  const searched = event.detail.requestConfig.parameters[field.name];
  if (searched !== undefined && searched !== field.value) event.detail.shouldSwap = false;
});

/* A click anywhere in a line marks it. */
document.addEventListener("click", (event) => {
  const line = closest(event, ".pick li");
  if (!line || closest(event, "input, label")) return;
  const click = { bubbles: true, cancelable: true, shiftKey: event.shiftKey };
  find("input", line)?.dispatchEvent(new MouseEvent("click", click));
});
