// Manners of the fragments that htmx brings: polls rest while nobody looks, a lost sign-in or server is noticed and told
// where it happened, the page is loaded anew at the end of a job.

const isPoll = (element) => /\bevery\b/.test(element?.getAttribute?.("hx-trigger") ?? "");

function showOffline(root, offline) {
  for (const note of root.querySelectorAll("[data-offline-note]")) note.hidden = !offline;
}

const UNKNOWN = "Whether it was done cannot be told: reload the page and look before you do it again.";
const SIGNED_OUT = "You are signed out. What you typed is still on this page: sign in in another tab, then go on here.";

/** What the server said of a request that failed. */
function saidBy(xhr) {
  const page = new DOMParser().parseFromString(xhr.responseText ?? "", "text/html");
  const said = [...page.querySelectorAll("[data-error]")].map((part) => part.textContent.trim()).join(" ");
  return said || `${xhr.status ? `The server answered ${xhr.status}.` : "The server cannot be reached."} ${UNKNOWN}`;
}

const panelOf = (element) => element.closest("section, .panel") ?? element;

function quiet(element) {
  for (const note of panelOf(element).querySelectorAll("[data-trouble]")) note.remove();
}

/** One line in the panel of the button or bar that it concerns; htmx itself says nothing. */
function tell(element, words) {
  if (panelOf(element).querySelector("[data-trouble]")?.textContent === words) return; // said, and not said again at each poll
  quiet(element);
  const note = document.createElement("p");
  note.dataset.trouble = "";
  note.setAttribute("role", "alert");
  note.className = "alert alert-danger";
  note.textContent = words;
  const heading = panelOf(element).querySelector(".panel-head, h2");
  if (heading) heading.after(note);
  else panelOf(element).prepend(note);
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
      if (isTouched(root)) tell(event.detail.elt, SIGNED_OUT);
      else window.location.reload();
    } else if (event.detail.xhr.status < 400) {
      showOffline(root, false);
      quiet(event.detail.elt);
    }
  });

  for (const name of ["htmx:sendError", "htmx:responseError"]) {
    body.addEventListener(name, ({ detail: { elt, xhr } }) => {
      const passing = isPoll(elt) && (xhr.status === 0 || xhr.status >= 500);
      if (passing && root.querySelector("[data-offline-note]")) showOffline(root, true);
      else tell(elt, passing ? "The server does not answer just now. This page tries again by itself." : saidBy(xhr));
    });
  }

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
