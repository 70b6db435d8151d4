/* What pages with a list need beyond console.js.

   data-why                   a button that opens the row with reason and remedy, which it controls
   data-needs="state …"       a bulk button; disabled while no selected row is in one of these states */

import "./column-picker.js";
import "./scan-status.js";
import "./tabs.js";
import { all, byId, closest, find, on } from "./dom.js";

/* --- Reason and remedy ----------------------------------------------------------------------------------------- */

on("click", "[data-why]", (event, button) => {
  const row = byId(button.getAttribute("aria-controls") ?? undefined);
  row.hidden = !row.hidden;
  button.setAttribute("aria-expanded", String(!row.hidden));
});

/* --- When a list is swapped, what a person is doing in it goes on ------------------------------------------------ */

let openMenu = ""; // its id
let focusedInMenu = ""; // the id of the element
let paging = false; // whether another page was requested

document.addEventListener("htmx:beforeRequest", (event) => {
  paging = Boolean(event.detail.elt.closest("[data-pages]"));
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, requestConfig } = event.detail;
  /** @type {HTMLInputElement | null} */
  const search = find("[data-search]", target);
  if (!search) return;
  const searched = requestConfig.parameters.q;
  if (search === document.activeElement && searched !== undefined && searched !== search.value) {
    event.detail.shouldSwap = false; // more was typed meanwhile: the response to that is on its way
    return;
  }
  openMenu = find(".menu[popover]:popover-open", target)?.id ?? "";
  focusedInMenu = openMenu ? (document.activeElement?.id ?? "") : "";
});
document.addEventListener("htmx:afterSwap", (event) => {
  const menu = openMenu && document.getElementById(openMenu);
  if (menu && !menu.matches(":popover-open")) {
    menu.showPopover({ source: find(`[popovertarget="${openMenu}"]`) ?? undefined });
  }
  if (focusedInMenu) document.getElementById(focusedInMenu)?.focus();
  openMenu = focusedInMenu = "";
  if (paging) {
    const title = document.getElementById(`${event.detail.target.id}-title`);
    title?.focus({ preventScroll: true });
    title?.parentElement?.scrollIntoView({ block: "start" });
    paging = false;
  }
  updateBulkButtons();
});

/* --- Bulk buttons that cannot apply are disabled and say why ----------------------------------------------------- */

function updateBulkButtons() {
  /** @type {HTMLInputElement | null} */
  const matching = find("#chosen [data-matching]");
  const states = new Set(
    all("#chosen input[data-row]:checked").map((row) => find("[data-state]", row.closest("tr") ?? row)?.dataset.state),
  );
  for (const button of all("[data-needs]")) {
    const needed = (button.dataset.needs ?? "").split(" ");
    const applies = matching?.value === "1" || needed.some((state) => states.has(state));
    if (applies) button.removeAttribute("aria-disabled");
    else button.setAttribute("aria-disabled", "true");
    button.title = applies ? "" : (button.dataset.whyNot ?? "");
  }
}
on("change", "#chosen", () => setTimeout(updateBulkButtons));
on("click", "#chosen", () => setTimeout(updateBulkButtons));
on("keyup", "#chosen", () => setTimeout(updateBulkButtons));
document.addEventListener("htmx:afterSettle", updateBulkButtons);
document.addEventListener(
  "click",
  (event) => {
    if (!closest(event, '[data-needs][aria-disabled="true"]')) return;
    event.preventDefault();
    event.stopPropagation();
  },
  true,
);
