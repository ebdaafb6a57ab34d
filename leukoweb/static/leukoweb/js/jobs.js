// Manners of the fragments that htmx polls: rest while nobody looks, notice a lost sign-in or server, refresh at the end.

const isPoll = (element) => /\bevery\b/.test(element?.getAttribute?.("hx-trigger") ?? "");

function showOffline(root, offline) {
  for (const note of root.querySelectorAll("[data-offline-note]")) note.hidden = !offline;
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
    if (root.querySelector("[data-reload-on-job-end]")) window.location.reload();
  });
}

init(document);
