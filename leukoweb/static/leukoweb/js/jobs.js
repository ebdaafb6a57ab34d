// Manners of the fragments that htmx polls: rest while nobody looks, notice a lost sign-in or server, refresh at the end.

const isPoll = (element) => /\bevery\b/.test(element?.getAttribute?.("hx-trigger") ?? "");

function showOffline(root, offline) {
  for (const note of root.querySelectorAll("[data-offline-note]")) note.hidden = !offline;
}

function isChanged(control) {
  if (control.type === "hidden" || control.matches("button, [type=submit], [type=button], [type=reset]")) return false;
  if (control.type === "checkbox" || control.type === "radio") return control.checked !== control.defaultChecked;
  if (control.options) {
    const first = control.multiple ? -1 : 0; // a select without a default shows its first option
    const options = [...control.options];
    const preset = options.some((option) => option.defaultSelected);
    return options.some((option, at) => option.selected !== (preset ? option.defaultSelected : at === first));
  }
  return "defaultValue" in control && control.value !== control.defaultValue;
}

// Whether a reload would lose what somebody ticked or typed. Pages that came back with errors say data-touched.
export const isTouched = (root) =>
  root.querySelector("form[data-touched]") !== null ||
  [...root.querySelectorAll("form :is(input, select, textarea)")].some(isChanged);

function offerReload(place, address) {
  if (place.querySelector("[data-ready]")) return;
  const note = document.createElement("p");
  note.dataset.ready = "";
  note.setAttribute("role", "status");
  note.className = "alert alert-info mt-3 mb-0";
  const again = document.createElement("a");
  again.href = address;
  again.textContent = "Load again";
  note.append("Ready. What you ticked or typed on this page is still here; it would be lost on loading anew. ", again);
  place.append(note);
}

export function init(root) {
  const body = root.body ?? root;

  body.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && isPoll(event.detail.elt)) event.preventDefault();
  });

  body.addEventListener("htmx:beforeSwap", (event) => {
    // A session that ended answers every poll with the sign-in page, which must not land inside a panel.
    const answer = new URL(event.detail.xhr.responseURL || window.location.href);
    if (answer.pathname.startsWith("/accounts/")) {
      event.detail.shouldSwap = false;
      window.location.reload();
    }
    showOffline(root, false);
  });

  body.addEventListener("htmx:sendError", (event) => {
    if (isPoll(event.detail.elt)) showOffline(root, true);
  });

  body.addEventListener("job-ended", () => {
    // Parts that listen themselves (hx-trigger="job-ended from:body") reload alone; the rest asks for the whole page.
    const asks = root.querySelector("[data-reload-on-job-end]");
    if (!asks) return;
    const address = asks.dataset.reloadOnJobEnd || window.location.href;
    if (isTouched(root)) offerReload(asks, address);
    else if (asks.dataset.reloadOnJobEnd) window.location.replace(address);
    else window.location.reload();
  });
}

init(document);
