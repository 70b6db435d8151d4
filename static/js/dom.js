/* Finds elements, and hears events of elements that may come later. */

document.documentElement.classList.add("scripts"); // before another module measures the page

/**
 * The first element that matches.
 * @template {Element} [E=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {E | null}
 */
export const find = (selector, root = document) => root.querySelector(selector);

/**
 * The first element that matches, which must be there.
 * @template {Element} [E=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {E}
 */
export function get(selector, root = document) {
  /** @type {E | null} */
  const element = root.querySelector(selector);
  if (!element) throw new Error(`Nothing on this page matches ${selector}`);
  return element;
}

/**
 * The element with this id, which must be there.
 * @template {Element} [E=HTMLElement]
 * @param {string | undefined} id
 * @returns {E}
 */
export const byId = (id) => get(`#${CSS.escape(id ?? "")}`);

/**
 * All elements that match, in the order of the page.
 * @template {Element} [E=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {E[]}
 */
export const all = (selector, root = document) => [...root.querySelectorAll(/** @type {any} */ (selector))];

/**
 * The element around or at the place of an event that matches.
 * @template {Element} [E=HTMLElement]
 * @param {Event} event
 * @param {string} selector
 * @returns {E | null}
 */
export const closest = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

/**
 * Calls act for each event of this type in an element that matches, whenever that came to the page.
 * @template {keyof DocumentEventMap} T
 * @template {Element} [E=HTMLElement]
 * @param {T} type
 * @param {string} selector
 * @param {(event: DocumentEventMap[T], element: E) => void} act
 */
export function on(type, selector, act) {
  document.addEventListener(type, (event) => {
    /** @type {E | null} */
    const element = closest(event, selector);
    if (element) act(event, element);
  });
}

/**
 * A text in the reader's language, which the server wrote to the body (templates/base.html).
 * @param {"copied" | "notCopied" | "selected" | "failed" | "forbidden" | "gone" | "slow" | "unreachable"} name
 */
export const message = (name) => document.body.dataset[name] ?? "";

/** The token that a form needs to be accepted (Django's CSRF protection). */
export function csrfToken() {
  /** @type {HTMLMetaElement} */
  const meta = get('meta[name="csrf-token"]');
  return meta.content;
}
