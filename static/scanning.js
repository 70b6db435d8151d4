/* Scanning settings and schedules: a search in the chooser is not overwritten by the answer to what was typed before,
   and choosing an image means that specified images are meant. */

document.addEventListener("htmx:beforeSwap", (event) => {
  const field = document.activeElement;
  if (event.detail.target?.id !== "chooser" || !field?.matches('.pick input[type="search"]')) return;
  const asked = event.detail.requestConfig.parameters[field.name];
  if (asked !== undefined && asked !== field.value) event.detail.shouldSwap = false;
});
/* A click anywhere in a line marks it. */
document.addEventListener("click", (event) => {
  const line = event.target.closest?.(".pick li");
  if (!line || event.target.closest("input, label")) return;
  line.querySelector("input")?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: event.shiftKey }));
});
