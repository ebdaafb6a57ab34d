// The result page: the print button, and the viewer panel that the grid of fields opens.

import { FieldPanel } from "./result_viewer.js";

export function init(root) {
  for (const button of root.querySelectorAll("[data-print]")) button.addEventListener("click", () => window.print());
  const section = root.querySelector("[data-result]");
  if (!section) return;
  const panel = new FieldPanel(section);
  // The grid is replaced when the filter changes, so the section listens for its buttons.
  section.addEventListener("click", (event) => {
    const button = event.target.closest("[data-open]");
    if (button) panel.open(button.closest("[data-field]"));
  });
}

init(document);
