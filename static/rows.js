/* What is the same in every row of a list is written once here and not in each row: a page of 100 rows is much smaller.
   Done as soon as rows are there, before they are painted where they are swapped in.

   .digest[title]             gets the button of #copy, which copies its title
   .ver                       gets its text as title, for where it is cut
   time without title         gets the exact time on hover and focus
   a.addr[data-tag]           gets address and tag as title, and the check box of its row says them too
   .state[data-reason="3"]    gets the fourth of the reasons in #whys in a row below its own, and the button to open it
   table[data-act]            has buttons in its rows that say what the row is, and act without loading the page anew
   table.cards                gets the roles that its cards would lose in a narrow window */

const find = (selector, root) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const ROLES = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", th: "columnheader", td: "cell" };

function finish(root) {
  const [opens, ...whys] = document.getElementById("whys")?.content.children ?? [];
  for (const state of all(".state[data-reason]", root)) {
    const key = state.id.replace("status-", "");
    below(state.closest("tr"), key, whys[state.dataset.reason].cloneNode(true));
    state.append(opens.cloneNode(true));
    state.lastElementChild.setAttribute("aria-controls", `why-${key}`);
    delete state.dataset.reason;
  }
  for (const part of all("table.cards, table.cards :is(thead, tbody, tr, th, td)", root)) {
    if (!part.hasAttribute("role")) part.setAttribute("role", ROLES[part.localName]);
  }
  for (const time of all("time:not([title])", root)) {
    time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} ${document.body.dataset.zoneName}`;
    time.tabIndex = 0;
  }
  for (const link of all("a.addr[data-tag]:not([title])", root)) {
    link.title = `${find("small", link).textContent}/${find(".mid", link).textContent}:${link.dataset.tag}`;
    const box = find("[data-row]", link.closest("tr"));
    const select = box?.closest("table").dataset.select; // of a list that leaves it to this script
    if (select) box.setAttribute("aria-label", select.replace("{name}", link.title));
  }
  for (const button of all("table[data-act] .act button:not([hx-post])", root)) {
    const link = find("a.addr", button.closest("tr"));
    const name = button.closest("table").dataset.act.replace("{act}", button.title).replace("{name}", link.title);
    const post = button.getAttribute("formaction") ?? button.form.getAttribute("action");
    const more = { "aria-label": name, "hx-post": post, "hx-swap": "none", "hx-target": "#main" };
    for (const [attribute, value] of Object.entries(more)) button.setAttribute(attribute, value);
    htmx.process(button);
  }
  for (const version of all(".ver:not([title])", root)) version.title = version.textContent;
  const copy = document.getElementById("copy").content.firstElementChild;
  for (const digest of all(".digest[title]:not(:has(.copy))", root)) {
    const button = copy.cloneNode(true);
    button.dataset.copy = digest.title;
    button.setAttribute("aria-label", button.getAttribute("aria-label").replace("{text}", digest.textContent.trim()));
    digest.append(button);
  }
}

/* Puts a row with a reason and its remedy below the row of an image, hidden until it is asked for. */
function below(row, key, why) {
  const made = document.createElement("tr");
  made.className = "why";
  made.id = `why-${key}`;
  made.hidden = true;
  made.insertCell().className = "pin";
  const cell = made.insertCell();
  cell.colSpan = row.cells.length - 1;
  why.id = `why-in-${key}`;
  cell.append(why);
  row.after(made);
}

finish(document);
document.addEventListener("htmx:load", ({ detail: { elt } }) => finish(elt.parentElement ?? elt));

/* An image whose scan fails while its row is looked at: the row gets one below it for the reason and the remedy. */
document.addEventListener(
  "htmx:beforeSwap",
  ({ detail }) => {
    if (!detail.serverResponse?.includes("why-in")) return;
    const answer = document.createElement("template");
    answer.innerHTML = detail.serverResponse;
    for (const { id } of all("dl.why-in[hx-swap-oob]:not(:empty)", answer.content)) {
      const key = id.replace("why-in-", "");
      const row = document.getElementById(`status-${key}`)?.closest("tr");
      if (!row || document.getElementById(id)) continue;
      below(row, key, Object.assign(document.createElement("dl"), { className: "why-in" }));
      finish(row.parentElement);
    }
  },
  true, // before console.js leaves out what has no place on the page
);
