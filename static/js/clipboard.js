/* data-copy="text"           a button that copies */

import { message, on } from "./dom.js";
import { announce, showToast } from "./toasts.js";

on("click", "[data-copy]", async (event, button) => {
  event.preventDefault();
  try {
    await navigator.clipboard.writeText(button.dataset.copy ?? "");
    announce(message("copied"));
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1500);
  } catch {
    showToast("error", message("notCopied"));
  }
});
