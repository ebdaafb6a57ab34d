// Before the signature: nothing may wait on this computer. With it: what the session left here goes away.

import { Queue } from "./reading_store.js";

export async function init(root) {
  for (const form of root.querySelectorAll("[data-seal]")) {
    const queue = await new Queue(form.dataset.seal).open();
    const check = root.querySelector("[data-queue-check]");
    check.hidden = queue.size === 0;
    root.querySelector("[data-queue-words]").textContent =
      `${queue.cases} answer${queue.cases === 1 ? " is" : "s are"} not yet on the server. Go back to the cases; they are sent from there.`;
    form.querySelector("[type=submit]").disabled = queue.size > 0;
    form.addEventListener("submit", () => { queue.clear(); });
  }
}

init(document);
