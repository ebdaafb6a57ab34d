// <form data-unsaved="no">: who leaves the page with edits that were not saved is asked first, as on the boards.
// "yes" says that the server refused to save what the form shows. A second form with data-replaces="#id" would throw
// those edits away; it asks in a dialog of the page.

function contents(form) {
  return new URLSearchParams([...new FormData(form)].map(([name, value]) => [name, String(value)])).toString();
}

export class Unsaved {
  #atFirst;
  #leaving = false;

  constructor(form) {
    this.form = form;
    this.#atFirst = form.dataset.unsaved === "yes" ? null : contents(form);
    form.addEventListener("submit", () => { this.#leaving = true; });
    window.addEventListener("pageshow", () => { this.#leaving = false; });
    window.addEventListener("beforeunload", (event) => { if (this.edited && !this.#leaving) event.preventDefault(); });
  }

  get edited() {
    return contents(this.form) !== this.#atFirst;
  }

  /** `other` replaces what this form edits: where that would lose something, `dialog` asks first. */
  guard(other, dialog) {
    other.addEventListener("submit", (event) => {
      if (this.edited && dialog.returnValue !== "replace") {
        event.preventDefault();
        dialog.showModal();
      } else {
        this.#leaving = true;
      }
    });
    dialog.addEventListener("close", () => { if (dialog.returnValue === "replace") other.requestSubmit(); });
    dialog.addEventListener("cancel", () => { dialog.returnValue = "stay"; });
  }
}

export function init(root) {
  for (const form of root.querySelectorAll("form[data-unsaved]")) {
    const unsaved = new Unsaved(form);
    for (const other of root.querySelectorAll(`form[data-replaces="#${form.id}"]`)) {
      unsaved.guard(other, root.querySelector("#replace-asks"));
    }
  }
}

init(document);
