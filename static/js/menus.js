/* Menus are popovers, put below their button, or above it if there is no room.

   data-toggle="id"           a button that shows and hides one element */

import { all, byId, closest, find, get, on } from "./dom.js";

document.addEventListener(
  "toggle",
  (event) => {
    const menu = event.target;
    if (event.newState !== "open" || !(menu instanceof HTMLElement) || !menu.matches(".menu[popover]")) return;
    const button = get(`[popovertarget="${menu.id}"]`).getBoundingClientRect();
    const { width, height } = menu.getBoundingClientRect();
    const fitsBelow = button.bottom + 4 + height <= innerHeight;
    const left = button.left + width + 8 <= innerWidth ? button.left : button.right - width;
    menu.style.left = `${Math.max(8, left)}px`;
    menu.style.top = `${Math.max(8, fitsBelow ? button.bottom + 4 : button.top - 4 - height)}px`;
    if (event.source?.matches(":focus-visible")) find("a, button, input", menu)?.focus();
  },
  true,
);

document.addEventListener("keydown", (event) => {
  const menu = closest(event, ".menu[popover]");
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (!menu || !step) return;
  event.preventDefault();
  const items = all("a, button, input", menu);
  const at = items.findIndex((item) => item === document.activeElement);
  items.at((at + step) % items.length)?.focus();
});

on("click", "[data-toggle]", (event, button) => {
  const part = byId(button.dataset.toggle);
  part.hidden = !part.hidden;
  button.setAttribute("aria-expanded", String(!part.hidden));
});
