// Before signing out: what this browser holds that the server does not have. Signing out after reading empties the browser's
// storage, and with it decisions and answers that wait there.

const decisions = (rows) => rows.reduce((sum, row) => sum + row.decisions.length, 0);
const cases = (rows) => new Set(rows.map((row) => `${row.session} ${row.case}`)).size; // as the board's badge: an answer may wait twice

const WAITING = [
  { database: "leukoweb-sorting", store: "outbox", count: decisions, one: "sorting decision" },
  { database: "leukoweb-reading", store: "queue", count: cases, one: "reading answer" },
];

/** All rows of a store; none if there is no such database, and none is made. */
function rowsOf(database, store) {
  return new Promise((resolve) => {
    const request = indexedDB.open(database);
    request.addEventListener("upgradeneeded", () => request.transaction.abort());
    request.addEventListener("error", () => resolve([]));
    request.addEventListener("success", () => {
      const opened = request.result;
      const done = (rows) => {
        opened.close();
        resolve(rows);
      };
      try {
        const all = opened.transaction(store).objectStore(store).getAll();
        all.addEventListener("success", () => done(all.result));
        all.addEventListener("error", () => done([]));
      } catch {
        done([]);
      }
    });
  });
}

/** "3 sorting decisions and 1 reading answer", or "" if nothing waits. */
export async function waitingWords() {
  if (!globalThis.indexedDB) return "";
  const found = [];
  for (const { database, store, count: counted, one } of WAITING) {
    const count = counted(await rowsOf(database, store));
    if (count) found.push(`${count} ${one}${count === 1 ? "" : "s"}`);
  }
  return found.join(" and ");
}

export async function init(root) {
  const warning = root.querySelector("[data-waiting]");
  if (warning) {
    const words = await waitingWords();
    warning.querySelector("[data-waiting-words]").textContent = words;
    warning.hidden = !words;
    return;
  }
  for (const form of root.querySelectorAll("form[data-signs-out]")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (await waitingWords().catch(() => "")) window.location.assign(form.action); // the page that says so
      else form.submit();
    });
  }
}

init(document);
