/* What all requests of htmx have in common: the CSRF token, errors, a session that has ended, late responses, and the
   outline of what takes longer than a moment. */

import { all, csrfToken, find, get, message } from "./dom.js";
import { openPageDialog, pageDialog, SKELETON_MS } from "./dialogs.js";
import { drawer, openDrawer } from "./drawer.js";
import { showToast } from "./toasts.js";

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = csrfToken();
});

/* A form that comes back with errors gets the focus, for who does not see them. */
document.addEventListener("htmx:afterSettle", (event) => find("[data-focus]", event.detail.elt)?.focus());

/* --- Errors ---------------------------------------------------------------------------------------------------- */

document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.elt.matches("[data-poll]")) return; // the poll tries again by itself
  const { status } = event.detail.xhr;
  const name = status === 403 ? "forbidden" : status === 404 ? "gone" : status === 503 ? "slow" : "failed";
  offerRetry(showToast("error", message(name)), status < 500 ? null : event.detail);
});
document.addEventListener("htmx:sendError", (event) => {
  if (!event.detail.elt.matches("[data-poll]")) offerRetry(showToast("error", message("unreachable")), event.detail);
});

/**
 * Have a toast offer to send a request again, if it only reads.
 * @param {HTMLElement} toast
 * @param {HtmxDetail | null} request
 */
function offerRetry(toast, request) {
  if (request?.requestConfig.verb !== "get") return;
  const { elt, target, pathInfo } = request;
  const button = get(".retry", toast);
  button.hidden = false;
  button.addEventListener("click", () => {
    toast.remove();
    if (target === drawer) openDrawer(pathInfo.finalRequestPath);
    else if (target === pageDialog) openPageDialog(pathInfo.finalRequestPath);
    else {
      const swap = elt.getAttribute("hx-swap") ?? "outerHTML";
      const again = htmx.ajax("GET", pathInfo.finalRequestPath, { target, swap });
      again.then(() => document.getElementById(`${target.id}-title`)?.focus());
    }
  });
}

/* A session that has ended answers the request for a fragment with the sign-in page: show that as a page. */
document.addEventListener("htmx:beforeSwap", (event) => {
  const url = event.detail.xhr.responseURL;
  if (url && new URL(url).pathname === document.body.dataset.signIn) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

/* --- A response may be late: rows that it renews out of band may have left the page, and so may the button that sent
       the request ----------------------------------------------------------------------------------------------- */

document.addEventListener("htmx:beforeSwap", (event) => {
  const { detail } = event;
  if (!detail.shouldSwap || !detail.serverResponse.includes("hx-swap-oob")) return;
  const response = document.createElement("template");
  response.innerHTML = detail.serverResponse;
  for (const part of all("[hx-swap-oob]", response.content)) if (!document.getElementById(part.id)) part.remove();
  detail.serverResponse = response.innerHTML;
  const sender = detail.requestConfig.elt;
  if (sender.isConnected || sender.getAttribute("hx-swap") !== "none") return;
  // htmx looks for the parts around the button that is gone, and triggers the toasts there.
  detail.shouldSwap = false;
  htmx.swap(detail.target, detail.serverResponse, { swapStyle: "none" });
  const events = JSON.parse(detail.xhr.getResponseHeader("HX-Trigger") ?? "{}");
  for (const [name, value] of Object.entries(events)) htmx.trigger(document.body, name, { value });
});

/* --- What takes longer than a moment shows the outline of what comes, without moving anything ------------------- */

/** @type {Map<XMLHttpRequest, ReturnType<typeof setTimeout>>} */
const timers = new Map();

document.addEventListener("htmx:beforeSend", (event) => {
  const { elt, target, requestConfig, xhr } = event.detail;
  const outlined = target.matches(".listing, #findings") && requestConfig.verb === "get" && !elt.matches("[data-poll]");
  if (outlined) timers.set(xhr, setTimeout(() => setWaiting(target, true), SKELETON_MS));
});
document.addEventListener("htmx:afterRequest", ({ detail: { target, xhr } }) => {
  if (!timers.has(xhr)) return;
  clearTimeout(timers.get(xhr));
  timers.delete(xhr);
  setWaiting(target, false);
});
/**
 * @param {HTMLElement} part
 * @param {boolean} waiting
 */
function setWaiting(part, waiting) {
  part.classList.toggle("waiting", waiting);
  part.setAttribute("aria-busy", String(waiting));
}
