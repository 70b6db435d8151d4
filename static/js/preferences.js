/* Theme and density are shown at once and kept by the server; the time zone of this browser is offered.

   data-preferences           the form of theme and density
   data-zone="id"             a button that chooses this browser's time zone in the <select> */

import { all, byId, message, on } from "./dom.js";
import { showToast } from "./toasts.js";

on("submit", "[data-preferences]", (event, /** @type {HTMLFormElement} */ form) => {
  const { name, value } = /** @type {HTMLButtonElement} */ (event.submitter);
  event.preventDefault();
  if (value) document.documentElement.dataset[name] = value;
  else delete document.documentElement.dataset[name];
  all(`button[name="${name}"]`, form)
    .find((button) => button.checkVisibility())
    ?.focus();
  const body = new FormData(form);
  body.set(name, value);
  fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } })
    .then((response) => response.ok || showToast("error", message("failed")))
    .catch(() => showToast("error", message("unreachable")));
});

for (const button of all("[data-zone]")) {
  /** @type {HTMLSelectElement} */
  const zones = byId(button.dataset.zone);
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  button.hidden = ![...zones.options].some((option) => option.value === here) || zones.value === here;
  button.textContent += `: ${here}`;
  button.addEventListener("click", () => (zones.value = here));
}
