// Answers that the server has not confirmed yet, in IndexedDB, apart for each session. Only tokens and choices lie here;
// the seal of the session and signing out take them away.

const NAME = "leukoweb-reading";
const STORE = "queue";

function opened() {
  return new Promise((resolve, reject) => {
    const request = window.indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "key" }).createIndex("session", "session");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function finished(transaction, result = () => undefined) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(result());
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

export class Queue {
  #memory = new Map(); // what the page itself knows; the database is its copy that survives the page
  #database = null;

  constructor(session) {
    this.session = session;
  }

  /** Read what an earlier page left behind. Without IndexedDB the queue lasts as long as the page. */
  async open() {
    try {
      this.#database = await opened();
      const transaction = this.#database.transaction(STORE);
      const request = transaction.objectStore(STORE).index("session").getAll(this.session);
      const rows = await finished(transaction, () => request.result);
      for (const row of rows.sort((a, b) => a.n - b.n)) this.#memory.set(row.key, row);
    } catch {
      this.#database = null;
    }
    return this;
  }

  get items() {
    return [...this.#memory.values()];
  }

  /** How many cases have answers here. */
  get cases() {
    return new Set(this.items.map((item) => item.case)).size;
  }

  get size() {
    return this.#memory.size;
  }

  get(key) {
    return this.#memory.get(key);
  }

  async put(item) {
    this.#memory.set(item.key, { ...item, session: this.session });
    await this.#write((store) => store.put(this.#memory.get(item.key)));
  }

  async remove(key) {
    this.#memory.delete(key);
    await this.#write((store) => store.delete(key));
  }

  /** What waits for a case rests on this version now: in memory at once, so that whatever is saved next sees it. */
  async rest(token, version) {
    const mine = this.items.filter((item) => item.case === token);
    for (const item of mine) this.#memory.set(item.key, { ...item, version });
    await this.#write((store) => mine.forEach(({ key }) => store.put(this.#memory.get(key))));
  }

  async clear() {
    const keys = [...this.#memory.keys()];
    this.#memory.clear();
    await this.#write((store) => keys.forEach((key) => store.delete(key)));
  }

  async #write(change) {
    if (!this.#database) return;
    try {
      const transaction = this.#database.transaction(STORE, "readwrite");
      change(transaction.objectStore(STORE));
      await finished(transaction);
    } catch {
      // storage is full or was taken away: memory still has it, and leaving the page is warned of
    }
  }
}
