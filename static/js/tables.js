/* Tables. What is the same in every row of a list is written once here and not in each row: a page of 100 rows is much
   smaller. It is done as soon as rows are there, before they are painted if they are swapped in.

   .scroll                    a table with more columns than fit scrolls inside its panel
   .digest[title]             gets the button of #copy, which copies its title
   .ver                       gets its text as title, for where it is cut
   time without title         gets the exact time on hover and focus
   a.addr[data-tag]           gets address and tag as title, and the check box of its row says them too
   .state[data-reason="3"]    gets the fourth of #reasons in a row below its own, and the button to open it
   table[data-act]            has buttons in its rows that say what the row is, and act without loading the page anew
   table.cards                gets the roles that its cards would lose in a narrow window */

import { all, byId, find, get } from "./dom.js";

function fitTables() {
  for (const box of all(".scroll")) {
    box.classList.remove("inside");
    const table = /** @type {HTMLElement} */ (box.firstElementChild);
    box.classList.toggle("inside", table.offsetWidth > box.clientWidth + 1);
  }
}
addEventListener("resize", fitTables);
document.addEventListener("htmx:afterSettle", fitTables);

/** @param {ParentNode} root */
function completeRows(root) {
  addReasonRows(root);
  addRoles(root);
  addTitles(root);
  completeButtons(root);
  addCopyButtons(root);
}

/** @param {ParentNode} root */
function addReasonRows(root) {
  /** @type {HTMLTemplateElement | null} */
  const template = find("#reasons");
  const [button, ...reasons] = template?.content.children ?? [];
  for (const state of all(".state[data-reason]", root)) {
    const key = state.id.replace("status-", "");
    const reason = reasons[Number(state.dataset.reason)];
    addRowBelow(rowOf(state), key, /** @type {HTMLElement} */ (reason.cloneNode(true)));
    const opens = /** @type {HTMLElement} */ (button.cloneNode(true));
    opens.setAttribute("aria-controls", `why-${key}`);
    state.append(opens);
    delete state.dataset.reason;
  }
}

const ROLES = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", th: "columnheader", td: "cell" };

/** @param {ParentNode} root */
function addRoles(root) {
  for (const part of all("table.cards, table.cards :is(thead, tbody, tr, th, td)", root)) {
    const role = ROLES[/** @type {keyof typeof ROLES} */ (part.localName)];
    if (!part.hasAttribute("role")) part.setAttribute("role", role);
  }
}

/** @param {ParentNode} root */
function addTitles(root) {
  /** @type {HTMLTimeElement[]} */
  const times = all("time:not([title])", root);
  for (const time of times) {
    time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} ${document.body.dataset.zoneName}`;
    time.tabIndex = 0;
  }
  for (const link of all("a.addr[data-tag]:not([title])", root)) {
    link.title = `${get("small", link).textContent}/${get(".mid", link).textContent}:${link.dataset.tag}`;
    const box = find("[data-row]", rowOf(link));
    const label = box?.closest("table")?.dataset.select; // of a list that leaves it to this script
    if (box && label) box.setAttribute("aria-label", label.replace("{name}", link.title));
  }
  for (const version of all(".ver:not([title])", root)) version.title = version.textContent;
}

/** @param {ParentNode} root */
function completeButtons(root) {
  /** @type {HTMLButtonElement[]} */
  const buttons = all("table[data-act] .act button:not([hx-post])", root);
  for (const button of buttons) {
    const link = get("a.addr", rowOf(button));
    const label = button.closest("table")?.dataset.act ?? "";
    const action = button.getAttribute("formaction") ?? button.form?.getAttribute("action") ?? "";
    button.setAttribute("aria-label", label.replace("{act}", button.title).replace("{name}", link.title));
    button.setAttribute("hx-post", action);
    button.setAttribute("hx-swap", "none");
    button.setAttribute("hx-target", "#main");
    htmx.process(button);
  }
}

/** @param {ParentNode} root */
function addCopyButtons(root) {
  /** @type {HTMLTemplateElement} */
  const template = byId("copy");
  for (const digest of all(".digest[title]:not(:has(.copy))", root)) {
    const button = /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
    const label = button.getAttribute("aria-label") ?? "";
    button.dataset.copy = digest.title;
    button.setAttribute("aria-label", label.replace("{text}", digest.textContent.trim()));
    digest.append(button);
  }
}

/** @param {Element} cell */
const rowOf = (cell) => /** @type {HTMLTableRowElement} */ (cell.closest("tr"));

/**
 * Put a row with a reason and its remedy below the row of an image, hidden until it is opened.
 * @param {HTMLTableRowElement} row
 * @param {string} key of the image's row
 * @param {HTMLElement} reason
 */
function addRowBelow(row, key, reason) {
  const added = document.createElement("tr");
  added.className = "why";
  added.id = `why-${key}`;
  added.hidden = true;
  added.insertCell().className = "pin";
  const cell = added.insertCell();
  cell.colSpan = row.cells.length - 1;
  reason.id = `why-in-${key}`;
  cell.append(reason);
  row.after(added);
}

fitTables();
completeRows(document);
document.addEventListener("htmx:load", ({ detail: { elt } }) => completeRows(elt.parentElement ?? elt));

/* An image whose scan fails while its row is on the page: the row gets one below it for the reason and the remedy. */
document.addEventListener(
  "htmx:beforeSwap",
  ({ detail }) => {
    if (!detail.serverResponse?.includes("why-in")) return;
    const response = document.createElement("template");
    response.innerHTML = detail.serverResponse;
    for (const { id } of all("dl.why-in[hx-swap-oob]:not(:empty)", response.content)) {
      const key = id.replace("why-in-", "");
      const row = document.getElementById(`status-${key}`)?.closest("tr");
      if (!row?.parentElement || document.getElementById(id)) continue;
      addRowBelow(row, key, Object.assign(document.createElement("dl"), { className: "why-in" }));
      completeRows(row.parentElement);
    }
  },
  true, // before requests.js leaves out what has no place on the page
);
