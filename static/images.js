/* Repository images, beyond what console.js does for every page.

   data-why                   a button that opens the row with reason and remedy, which it controls
   data-needs="state …"       a bulk button; disabled while no selected row is in one of these states */

const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const told = find("#announce"); // kept, for it moves: console.js puts it into the dialog that is open
const on = (type, selector, act) =>
  document.addEventListener(type, (event) => {
    const element = event.target.closest?.(selector);
    if (element) act(event, element);
  });

/* --- Reason and remedy --------------------------------------------------------------------------------------- */

on("click", "[data-why]", (event, button) => {
  const row = document.getElementById(button.getAttribute("aria-controls"));
  row.hidden = !row.hidden;
  button.setAttribute("aria-expanded", String(!row.hidden));
});

/* --- A list that is swapped: what a person is doing in it goes on ---------------------------------------------- */

let open = ""; // id of the menu that was open
let inside = ""; // id of what had the focus in it
let paged = false; // whether another page was asked for

document.addEventListener("htmx:beforeRequest", (event) => {
  paged = Boolean(event.detail.elt.closest("[data-pages]"));
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, requestConfig } = event.detail;
  const search = find("[data-search]", target);
  if (!search) return;
  const asked = requestConfig.parameters.q;
  if (search === document.activeElement && asked !== undefined && asked !== search.value) {
    event.detail.shouldSwap = false; // more was typed meanwhile: the answer to that is on its way
    return;
  }
  open = find(".menu[popover]:popover-open", target)?.id ?? "";
  inside = open ? document.activeElement.id : "";
});
document.addEventListener("htmx:afterSwap", (event) => {
  const menu = open && document.getElementById(open);
  if (menu && !menu.matches(":popover-open")) menu.showPopover({ source: find(`[popovertarget="${open}"]`) });
  if (inside) document.getElementById(inside)?.focus();
  open = inside = "";
  if (paged) {
    const title = document.getElementById(`${event.detail.target.id}-title`);
    title?.focus({ preventScroll: true });
    title?.parentElement.scrollIntoView({ block: "start" });
    paged = false;
  }
  needs();
});

/* --- Tabs of findings: the open one is marked; arrows move between them --------------------------------------------- */

document.addEventListener("htmx:afterSwap", () => {
  const name = find("#findings")?.dataset.tab;
  if (name) for (const tab of all('[role="tab"]')) tab.setAttribute("aria-selected", String(tab.id === `tab-${name}`));
  showTab();
});
/* Where not all tabs fit, the open one is scrolled into sight. */
function showTab() {
  const tab = find('[role="tab"][aria-selected="true"]');
  const row = tab?.parentElement;
  if (row && row.scrollWidth > row.clientWidth) row.scrollLeft = tab.offsetLeft - (row.clientWidth - tab.offsetWidth) / 2;
}
showTab();
on("keydown", '[role="tab"]', (event, tab) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const tabs = all('[role="tab"]', tab.parentElement);
  if (step) tabs.at((tabs.indexOf(tab) + step) % tabs.length).focus();
});

/* --- Bulk buttons: what cannot apply is disabled and says why ---------------------------------------------------- */

function needs() {
  const everything = find("#chosen [data-matching]")?.value === "1";
  const states = new Set(
    all("#chosen input[data-row]:checked").map((row) => find("[data-state]", row.closest("tr"))?.dataset.state),
  );
  for (const button of all("[data-needs]")) {
    const fits = everything || button.dataset.needs.split(" ").some((state) => states.has(state));
    button.toggleAttribute("aria-disabled", !fits);
    if (!fits) button.setAttribute("aria-disabled", "true");
    button.title = fits ? "" : button.dataset.whyNot;
  }
}
for (const type of ["change", "click", "keyup"]) on(type, "#chosen", () => setTimeout(needs));
document.addEventListener("htmx:afterSettle", needs);
document.addEventListener(
  "click",
  (event) => {
    if (!event.target.closest?.('[data-needs][aria-disabled="true"]')) return;
    event.preventDefault();
    event.stopPropagation();
  },
  true,
);

/* --- Custom list management: columns move in the dialog; the form is sent by Save and Reset alone --------------- */

function move(line, step) {
  const lines = all("[data-column]:not([hidden])", line.parentElement).filter((one) => find("input", one));
  const other = lines[lines.indexOf(line) + step];
  if (other) other[step < 0 ? "before" : "after"](line);
  told.textContent = `${line.textContent.trim()}: ${lines.indexOf(line) + 1 + (other ? step : 0)}`;
}
function showColumn(form, name, shown) {
  const line = find(`[data-column="${name}"]`, form);
  line.hidden = !shown;
  find("input", line).disabled = !shown;
  find(`[name="box"][value="${name}"]`, form).checked = shown;
  if (shown) line.parentElement.append(line);
  find("[data-shown]", form).textContent = String(all("[data-column]:not([hidden])", form).length);
}
on("click", ".order button", (event, button) => {
  event.preventDefault();
  const line = button.closest("li");
  if (button.name === "hide") showColumn(button.form, button.value, false);
  else move(line, button.name === "up" ? -1 : 1);
  button.focus();
});
on("keydown", ".order [data-column]", (event, line) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!event.altKey || !step) return;
  event.preventDefault();
  const focused = document.activeElement;
  move(line, step);
  focused.focus();
});
/* By pointer: a line is picked up by its grip and goes where it is let go. */
on("pointerdown", ".order [data-grip]", (event, grip) => {
  const line = grip.closest("li");
  const lines = () => all("[data-column]:not([hidden])", line.parentElement).filter((one) => find("input", one));
  event.preventDefault();
  line.classList.add("lift");
  const drag = ({ clientY }) => {
    const below = lines().find((one) => one !== line && clientY < one.getBoundingClientRect().top + one.offsetHeight / 2);
    if (below) below.before(line);
    else lines().at(-1).after(line);
  };
  const over = new AbortController();
  const drop = () => {
    over.abort();
    line.classList.remove("lift");
    told.textContent = `${line.textContent.trim()}: ${lines().indexOf(line) + 1}`;
  };
  document.addEventListener("pointermove", drag, { signal: over.signal });
  for (const type of ["pointerup", "pointercancel"]) document.addEventListener(type, drop, { signal: over.signal });
});
on("change", '#columns [name="box"]', (event, box) => showColumn(box.form, box.value, box.checked));

/* --- What is asked and done about scans says which image is open and which rows are shown as unfinished ---------- */

const unfinished = () =>
  all('[data-state="queued"], [data-state="running"]').map(
    (cell) => cell.closest("#image-summary")?.dataset.image ?? cell.parentElement.id.replace("status-", ""),
  );

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
/* The rows of runs and their scans that go on are renewed with what is told of them above the list. */
document.addEventListener("htmx:configRequest", (event) => {
  const { elt, parameters } = event.detail;
  if (elt.matches("#run, #going")) parameters.going = all("[data-going]").map((cell) => cell.dataset.going).join(",");
});
/* When the scan of the image in the drawer has ended, its open tab is read anew. */
document.addEventListener("htmx:oobAfterSwap", (event) => {
  if (event.detail.target?.id !== "image-summary") return;
  const state = find("#image-summary [data-state]")?.dataset.state;
  const panel = find("#findings");
  const before = event.detail.target.dataset.was;
  if (panel && before && before !== state && ["scanned", "failed", "cancelled"].includes(state)) {
    event.detail.target.dataset.was = state; // the event comes once for each element of the answer
    find(".tabs [aria-selected=true]")?.click();
  }
});
