/* What pages do beyond links and forms. Everything here is found by data attributes; without it pages still work.

   data-copy="text"           a button that copies
   data-open="id", data-close open and close a <dialog>; a dialog with data-shown opens by itself
   data-dialog                a link whose page opens in #dialog
   data-drawer                a link whose page opens in the drawer; data-drawer-step="next|previous" inside it
   data-poll="url"            asked for again and again; the answer replaces the element, and without data-poll it ends
   data-select                a form with rows to select (see "Selection")
   data-preferences           the form of theme and density
   data-key="i"               a link that "g i" follows;  data-search: the field that "/" focuses
   data-toggle="id"           a button that shows and hides one element */

const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const on = (type, selector, act) =>
  document.addEventListener(type, (event) => {
    const element = event.target.closest?.(selector);
    if (element) act(event, element);
  });
const token = () => find('meta[name="csrf-token"]').content;

document.documentElement.classList.add("scripts");

/* --- htmx ---------------------------------------------------------------------------------------------------- */

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = token();
});
/* A form that comes back with errors says so to who cannot see it. */
document.addEventListener("htmx:afterSettle", (event) => find("[data-focus]", event.detail.elt)?.focus());
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.elt.matches("[data-poll]")) return; // the poll tries again by itself
  const { status } = event.detail.xhr;
  const text = status === 403 ? say("forbidden") : status === 404 ? say("gone") : status === 503 ? say("slow") : say("failed");
  offerRetry(toast("error", text), status < 500 ? null : event.detail);
});
document.addEventListener("htmx:sendError", (event) => {
  if (!event.detail.elt.matches("[data-poll]")) offerRetry(toast("error", say("unreachable")), event.detail);
});
/* What only reads may be asked for again. */
function offerRetry(element, request) {
  if (request?.requestConfig.verb !== "get") return;
  const { elt, target, pathInfo } = request;
  const button = find(".retry", element);
  button.hidden = false;
  button.addEventListener("click", () => {
    element.remove();
    if (target === drawer) openDrawer(pathInfo.finalRequestPath);
    else if (target === box) openBox(pathInfo.finalRequestPath);
    else {
      const again = htmx.ajax("GET", pathInfo.finalRequestPath, { target, swap: elt.getAttribute("hx-swap") ?? "outerHTML" });
      again.then(() => document.getElementById(`${target.id}-title`)?.focus());
    }
  });
}
/* A session that has ended answers a fragment with the sign-in page: show that as a page. */
document.addEventListener("htmx:beforeSwap", (event) => {
  const url = event.detail.xhr.responseURL;
  if (url && new URL(url).pathname === document.body.dataset.signIn) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

/* An answer may be late: rows that it renews out of band may have left the page, and so may the button it answers. */
document.addEventListener("htmx:beforeSwap", (event) => {
  const { detail } = event;
  if (!detail.shouldSwap || !detail.serverResponse.includes("hx-swap-oob")) return;
  const answer = document.createElement("template");
  answer.innerHTML = detail.serverResponse;
  for (const part of all("[hx-swap-oob]", answer.content)) if (!document.getElementById(part.id)) part.remove();
  detail.serverResponse = answer.innerHTML;
  const asker = detail.requestConfig.elt;
  if (asker.isConnected || asker.getAttribute("hx-swap") !== "none") return;
  // htmx looks for the parts around the button that is gone, and tells it of the toasts.
  detail.shouldSwap = false;
  htmx.swap(detail.target, detail.serverResponse, { swapStyle: "none" });
  const told = JSON.parse(detail.xhr.getResponseHeader("HX-Trigger") ?? "{}");
  for (const [name, value] of Object.entries(told)) htmx.trigger(document.body, name, { value });
});

const say = (name) => document.body.dataset[name];

/* While a modal dialog is open, all outside of it lies below it, cannot be reached and is not read out: toasts and what
   is announced move into it. What is swapped there may take them away, hence the names for them. */
const [toasts, told] = [find("#toasts"), find("#announce")];
function place() {
  const over = all("dialog:modal").at(-1) ?? document.body;
  if (toasts.parentElement !== over) over.append(toasts, told);
}
document.addEventListener("close", place, true);
document.addEventListener("htmx:afterSwap", place);

function announce(text) {
  place();
  told.textContent = "";
  requestAnimationFrame(() => (told.textContent = text));
}

/* --- What takes longer than a moment shows the shape of what comes, without moving anything ------------------- */

const SKELETON_MS = 300;
const waits = new Map(); // request → its timer

document.addEventListener("htmx:beforeSend", (event) => {
  const { elt, target, requestConfig, xhr } = event.detail;
  const part = target.matches(".listing, #findings") && requestConfig.verb === "get" && !elt.matches("[data-poll]");
  if (part) waits.set(xhr, setTimeout(() => wait(target, true), SKELETON_MS));
});
document.addEventListener("htmx:afterRequest", ({ detail: { target, xhr } }) => {
  if (!waits.has(xhr)) return;
  clearTimeout(waits.get(xhr));
  waits.delete(xhr);
  wait(target, false);
});
function wait(part, on) {
  part.classList.toggle("waiting", on);
  part.setAttribute("aria-busy", String(on));
}

/* --- Tables with more columns than fit scroll inside their panel ----------------------------------------------- */

function fit() {
  for (const box of all(".scroll")) {
    box.classList.remove("inside");
    box.classList.toggle("inside", box.firstElementChild.offsetWidth > box.clientWidth + 1);
  }
}
fit();
addEventListener("resize", fit);
document.addEventListener("htmx:afterSettle", fit);

/* --- Toasts: at least 6 s, kept while pointed at or focused; what went wrong stays --------------------------- */

const TOAST_MS = { plain: 6000, undo: 10000 };

function arm(element) {
  if (element.matches(".fault")) return;
  let timer;
  const start = () => (timer = setTimeout(() => element.remove(), find(".undo:not([hidden])", element) ? TOAST_MS.undo : TOAST_MS.plain));
  const stop = () => clearTimeout(timer);
  for (const type of ["pointerenter", "focusin"]) element.addEventListener(type, stop);
  for (const type of ["pointerleave", "focusout"]) element.addEventListener(type, start);
  start();
}

function toast(level, text, { undo = "", links = [] } = {}) {
  const element = find("#toast").content.firstElementChild.cloneNode(true);
  element.classList.toggle("ok", level === "success");
  element.classList.toggle("fault", level === "error");
  find("strong", element).textContent = text;
  const more = find(".links", element);
  more.hidden = !links.length;
  for (const link of links) {
    const anchor = document.createElement("a");
    anchor.href = link.href;
    anchor.textContent = link.text;
    more.append(anchor);
  }
  find(".undo", element).hidden = !undo;
  find(".undo [name=token]", element).value = undo;
  find(".undo [name=csrfmiddlewaretoken]", element).value = token();
  place();
  toasts.append(element);
  arm(element);
  return element;
}

document.addEventListener("toasts", (event) => {
  for (const { level, text, ...extras } of event.detail.value ?? event.detail.toasts ?? []) toast(level, text, extras);
});
on("click", "[data-dismiss]", (event, button) => button.closest(".toast").remove());
all("#toasts > .toast").forEach(arm);

/* --- Copy ---------------------------------------------------------------------------------------------------- */

on("click", "[data-copy]", async (event, button) => {
  event.preventDefault();
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    announce(say("copied"));
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1500);
  } catch {
    toast("error", say("notCopied"));
  }
});

/* --- Theme and density: shown at once, kept by the server ---------------------------------------------------- */

on("submit", "[data-preferences]", (event, form) => {
  const { name, value } = event.submitter;
  event.preventDefault();
  if (value) document.documentElement.dataset[name] = value;
  else delete document.documentElement.dataset[name];
  all(`button[name="${name}"]`, form).find((button) => button.checkVisibility())?.focus();
  const body = new FormData(form);
  body.set(name, value);
  fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } })
    .then((answer) => answer.ok || toast("error", say("failed")))
    .catch(() => toast("error", say("unreachable")));
});

/* The time zone of this browser, offered where it is one the console knows. */
for (const button of all("[data-zone]")) {
  const zones = document.getElementById(button.dataset.zone);
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  button.hidden = ![...zones.options].some((option) => option.value === here) || zones.value === here;
  button.textContent += `: ${here}`;
  button.addEventListener("click", () => (zones.value = here));
}

/* --- Menus: popovers, put below their button or above it where there is no room ------------------------------ */

document.addEventListener(
  "toggle",
  (event) => {
    const menu = event.target;
    if (event.newState !== "open" || !menu.matches?.(".menu[popover]")) return;
    const button = find(`[popovertarget="${menu.id}"]`).getBoundingClientRect();
    const { width, height } = menu.getBoundingClientRect();
    const below = button.bottom + 4 + height <= innerHeight;
    const left = button.left + width + 8 <= innerWidth ? button.left : button.right - width;
    menu.style.left = `${Math.max(8, left)}px`;
    menu.style.top = `${Math.max(8, below ? button.bottom + 4 : button.top - 4 - height)}px`;
    if (event.source?.matches(":focus-visible")) find("a, button, input", menu)?.focus();
  },
  true,
);
document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.(".menu[popover]");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!menu || !step) return;
  event.preventDefault();
  const items = all("a, button, input", menu);
  items.at((items.indexOf(document.activeElement) + step) % items.length)?.focus();
});

/* --- Dialogs ------------------------------------------------------------------------------------------------- */

/* Opens a dialog; where it is open already and what had the focus in it has gone, the focus comes back. */
function show(dialog) {
  if (!dialog.open) dialog.showModal();
  else if (!dialog.contains(document.activeElement)) find("a[href], button", dialog)?.focus();
  place();
}
on("click", "[data-open]", (event, button) => show(document.getElementById(button.dataset.open)));
on("click", "[data-close]", (event, button) => {
  event.preventDefault();
  button.closest("dialog").close();
});
on("click", "[data-toggle]", (event, button) => {
  const part = document.getElementById(button.dataset.toggle);
  part.hidden = !part.hidden;
  button.setAttribute("aria-expanded", String(!part.hidden));
});

/* What comes from the server opens with its content, or in outline where that takes long. */
const opening = new WeakMap(); // dialog → a number for each page that is asked for; what was closed or asked for anew is left
const supersede = (dialog) => opening.set(dialog, (opening.get(dialog) ?? 0) + 1).get(dialog);

/* Return whether the page at url is in the dialog now, and still wanted there. outlined() is called where an outline of it
   opens before. */
async function load(dialog, url, { title = "", outlined } = {}) {
  const mine = supersede(dialog);
  let came = false;
  const hear = ({ target, detail }) => target === dialog && (came = detail.successful);
  dialog.addEventListener("htmx:afterRequest", hear);
  const late = setTimeout(() => {
    if (!dialog.open) {
      dialog.replaceChildren(find(`#${dialog.id}-skeleton`).content.cloneNode(true));
      const heading = find("h2", dialog);
      if (heading) heading.textContent = title;
      outlined?.();
    } else dialog.classList.add("waiting");
    show(dialog);
  }, SKELETON_MS);
  await htmx.ajax("GET", url, { target: dialog, swap: "innerHTML", source: dialog }).catch(() => {});
  clearTimeout(late);
  dialog.removeEventListener("htmx:afterRequest", hear);
  if (mine !== opening.get(dialog)) {
    if (!dialog.open) dialog.replaceChildren();
    return false;
  }
  dialog.classList.remove("waiting");
  // What could not be loaded leaves what was there, and no outline of what does not come.
  if (!came && dialog.open && find(".loading[data-skeleton]", dialog)) dialog.close();
  return came;
}

const box = find("#dialog");

async function openBox(url, title) {
  if (await load(box, url, { title })) show(box);
}
on("click", "a[data-dialog]", (event, link) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openBox(link.href, link.title || link.textContent.trim());
});
box?.addEventListener("close", () => {
  supersede(box);
  box.replaceChildren();
});

/* --- Drawer: the page of a row, beside the list. Its address holds that of the list (console/listing/detail_panel.py) ----- */

const drawer = find("#drawer");
const path = (url) => new URL(url, location.href).pathname;
const whole = (url) => new URL(url, location.href).href.split("#")[0];
const listOf = (url) => {
  const below = new URL(url, location.href).searchParams.get("list");
  return below && whole(below);
};
let below = whole(drawer?.dataset.list ?? location.href); // address of what the page shows, a drawer aside
let opened = location.href; // address of what the drawer shows, or will

/* Return the address of a drawer with what url shows, over the list that the page shows. */
function beside(url) {
  const [address, list] = [new URL(url, location.href), new URL(below)];
  address.searchParams.delete("list");
  const own = address.search ? `${address.search}&` : "?";
  return `${address.pathname}${own}list=${encodeURIComponent(list.pathname + list.search).replaceAll("%2F", "/")}`;
}
const links = () => all("main a[data-drawer]");
const rowOf = (url) => links().find((link) => path(link.href) === path(url));
const neighbour = (url, step) => {
  const at = links().indexOf(rowOf(url));
  return at < 0 ? undefined : links()[at + (step === "next" ? 1 : -1)];
};

async function openDrawer(url, { push = true } = {}) {
  const before = opened;
  opened = url;
  const address = () => push && history[listOf(location.href) ? "replaceState" : "pushState"]({}, "", beside(url));
  if (!(await load(drawer, url, { outlined: address }))) {
    if (opened === url && drawer.open) opened = before;
    return;
  }
  address();
  show(drawer);
  drawer.scrollTop = 0;
  showSteps();
}
function showSteps() {
  for (const button of all("[data-drawer-step]", drawer)) button.disabled = !neighbour(opened, button.dataset.drawerStep);
}
function stepDrawer(step) {
  const link = neighbour(opened, step);
  if (link) openDrawer(link.href);
}

on("click", "a[data-drawer]", (event, link) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  openDrawer(link.href);
});
on("click", "[data-drawer-step]", (event, button) => stepDrawer(button.dataset.drawerStep));
drawer?.addEventListener("close", () => {
  supersede(drawer);
  drawer.classList.remove("waiting");
  if (listOf(location.href) === below) history.pushState({}, "", below);
  drawer.replaceChildren();
  rowOf(opened)?.focus();
});
drawer?.addEventListener("click", (event) => event.target === drawer && drawer.close());
if (drawer?.open) {
  drawer.removeAttribute("open"); // so it is seen without scripts; with them it is a modal dialog
  show(drawer);
  showSteps();
}
all("dialog[data-shown]").forEach(show);

/* --- History: what is shown is what the address says, whichever way one came to it --------------------------------- */

/* Who moves in the history while a page is on its way gets that page under another address: what this says is loaded,
   once. */
const [came] = performance.getEntriesByType("navigation");
if (came && whole(came.name) !== whole(location.href) && history.state?.again !== location.href) {
  history.replaceState({ again: location.href }, "");
  location.reload();
}
/* An address that stays the same is no step back, and a tab that comes after its drawer was closed is no address. */
document.addEventListener("htmx:beforeHistoryUpdate", ({ detail: { history: update, target } }) => {
  if (!target.isConnected) update.path = location.href;
  else if (drawer?.contains(target)) update.path = beside(update.path);
  else {
    below = whole(update.path);
    if (drawer?.open) [update.type, update.path] = ["replace", beside(opened)]; // it was opened meanwhile
  }
  if (whole(update.path) === whole(location.href)) update.type = "replace";
});
/* A drawer opens and closes over the list that is there; whatever else history leads to is loaded anew. */
window.addEventListener("popstate", (event) => {
  event.stopImmediatePropagation(); // htmx would do the last of these, and that for its own addresses alone
  if (whole(location.href) === below) {
    if (drawer?.open) drawer.close();
  } else if (listOf(location.href) === below) openDrawer(location.href, { push: false });
  else location.reload();
});

/* --- Polling: one request for the page, 2 s to 10 s, none while nobody looks ---------------------------------- */

const POLL_MS = { first: 2000, last: 10000, growth: 1.5 };
let pause = POLL_MS.first;
let seen = "";
let due;

function plan() {
  clearTimeout(due);
  if (!document.hidden && find("[data-poll]")) due = setTimeout(poll, pause);
}
async function poll() {
  const element = find("[data-poll]");
  if (!element) return;
  let text = "";
  element.addEventListener("htmx:afterRequest", (event) => (text = event.detail.xhr.responseText), { once: true });
  // Where something done on the page has renewed the element meanwhile, what it says is newer than this answer.
  element.addEventListener("htmx:beforeSwap", (event) => (event.detail.shouldSwap &&= element.isConnected), { once: true });
  await htmx.ajax("GET", element.dataset.poll, { source: element, target: element, swap: "outerHTML" }).catch(() => {});
  pause = text && text !== seen ? POLL_MS.first : Math.min(POLL_MS.last, pause * POLL_MS.growth);
  seen = text;
  plan();
}
document.addEventListener("visibilitychange", () => {
  pause = POLL_MS.first;
  plan();
});
document.addEventListener("htmx:afterSettle", (event) => {
  const asker = event.detail.requestConfig?.elt ?? event.detail.elt; // a poll settles the cells that have changed, too
  if (!asker.matches("[data-poll]") && find("[data-poll]")) {
    pause = POLL_MS.first;
    plan();
  }
});
plan();

/* --- Selection: <form data-select> with input[data-all], input[data-row], [data-bulk] (shown with a selection),
       [data-count] in it, input[type=hidden][data-matching] and a button [data-select-matching] for "all N" ------- */

let last = null; // the row selected last, where a range starts
const said = new WeakMap(); // form → the count that was announced

function tally(form) {
  const rows = all("input[data-row]", form);
  const chosen = rows.filter((row) => row.checked).length;
  const head = find("input[data-all]", form);
  if (head) {
    head.checked = chosen > 0 && chosen === rows.length;
    head.indeterminate = chosen > 0 && chosen < rows.length;
  }
  for (const row of rows) row.closest("tr")?.setAttribute("aria-selected", String(row.checked));
  const matching = find("input[data-matching]", form);
  const everything = matching?.value === "1";
  const count = everything ? matching.dataset.total : String(chosen);
  const bar = find("[data-bulk]", form);
  if (bar) bar.hidden = !chosen && !everything;
  all("[data-count]", form).forEach((place) => (place.textContent = count));
  // Cells that are renewed settle too: what has been said already is not said at each of them.
  if (count !== (said.get(form) ?? "0")) announce(say("selected").replace("{n}", count));
  said.set(form, count);
}
function unmatch(form) {
  const matching = find("input[data-matching]", form);
  if (matching) matching.value = "";
}
function range(form, row) {
  const rows = all("input[data-row]", form);
  const [from, to] = [rows.indexOf(last), rows.indexOf(row)];
  if (from < 0 || to < 0) return;
  for (const one of rows.slice(Math.min(from, to), Math.max(from, to) + 1)) one.checked = row.checked;
}
on("change", "form[data-select] input[data-all]", (event, box) => {
  all("input[data-row]", box.form).forEach((row) => (row.checked = box.checked));
  unmatch(box.form);
  tally(box.form);
});
on("click", "form[data-select] input[data-row]", (event, row) => {
  if (event.shiftKey) range(row.form, row);
  last = row;
  unmatch(row.form);
  tally(row.form);
});
on("keydown", "form[data-select] input[data-row]", (event, row) => {
  if (event.key !== " " || !event.shiftKey) return;
  event.preventDefault();
  row.checked = !row.checked;
  range(row.form, row);
  last = row;
  unmatch(row.form);
  tally(row.form);
});
on("click", "[data-select-matching]", (event, button) => {
  find("input[data-matching]", button.form).value = "1";
  all("input[data-row]", button.form).forEach((row) => (row.checked = true));
  tally(button.form);
});
on("click", "[data-select-none]", (event, button) => {
  all("input[data-row]", button.form).forEach((row) => (row.checked = false));
  unmatch(button.form);
  tally(button.form);
});
for (const type of ["htmx:afterSwap", "htmx:afterSettle"]) // at once, that no empty bar is seen; cells renewed later count
  document.addEventListener(type, () => all("form[data-select]").forEach(tally));
all("form[data-select]").forEach(tally);

/* --- Keys ---------------------------------------------------------------------------------------------------- */

const singles = find("[data-shortcuts]");
if (singles) {
  singles.checked = localStorage.getItem("shortcuts") !== "off";
  singles.addEventListener("change", () => localStorage.setItem("shortcuts", singles.checked ? "on" : "off"));
}
let going = 0; // when "g" was pressed

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !singles?.checked) return;
  if (drawer?.open) {
    const step = { j: "next", k: "previous" }[event.key];
    if (step) stepDrawer(step);
    return;
  }
  if (find("dialog[open]")) return;
  if (Date.now() - going < 1500) {
    going = 0;
    find(`a[data-key="${CSS.escape(event.key)}"]`)?.click();
  } else if (event.key === "g") {
    going = Date.now();
  } else if (event.key === "?") {
    show(find("#keys"));
  } else if (event.key === "/") {
    const field = find("[data-search]");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select();
  }
});
