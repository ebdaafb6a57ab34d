// Where the outbox keeps decisions in this browser. A shelf that fails says so and never throws: what it does not keep lives
// as long as the window, and the decisions go on to the server all the same.

const NAME = "leukoweb-sorting";
const STORE = "outbox";
const REOPEN_MS = 50; // twice as long after each time in vain
const REOPENED_AT_MOST = 12; // a disk that breaks again and again is left alone

function promised(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

export class Shelf {
  #reopened = 0;
  onLost = () => {};
  onReopened = () => {};

  /** @returns {Promise<boolean>} false where there is none: private windows of some browsers, a broken disk */
  async open() {
    try {
      const request = indexedDB.open(NAME, 1);
      request.addEventListener("upgradeneeded", () => {
        request.result.createObjectStore(STORE, { keyPath: "id" }).createIndex("owner", "owner");
      });
      this.database = await promised(request);
      this.database.addEventListener("close", () => this.#lost()); // by the browser: its storage was emptied, or broke
    } catch {
      this.database = null;
    }
    return Boolean(this.database);
  }

  /** The browser closed it and may have emptied it: whoever has entries puts them again. */
  async #lost() {
    this.database = null;
    this.onLost();
    while (!this.database && this.#reopened < REOPENED_AT_MOST) { // while it is being emptied it does not open
      await new Promise((resolve) => setTimeout(resolve, REOPEN_MS * 2 ** this.#reopened));
      this.#reopened += 1;
      if (await this.open()) this.onReopened();
    }
  }

  /** The answer once the transaction is complete, before that nothing is kept; undefined if it failed. */
  async #do(mode, work) {
    if (!this.database) return undefined;
    try {
      const transaction = this.database.transaction(STORE, mode, { durability: "strict" });
      const complete = new Promise((resolve, reject) => {
        transaction.addEventListener("complete", () => resolve(true));
        transaction.addEventListener("abort", () => reject(transaction.error));
      });
      const [answer] = await Promise.all([promised(work(transaction.objectStore(STORE))), complete]);
      return answer ?? true;
    } catch {
      return undefined;
    }
  }

  /** What lies here of this person, the oldest first; null if it cannot be read. */
  async entries(owner) {
    const found = await this.#do("readonly", (store) => store.index("owner").getAll(owner));
    return found?.sort((a, b) => a.order - b.order) ?? null;
  }

  /** @returns {Promise<boolean>} whether it is kept */
  async put(entry) {
    return (await this.#do("readwrite", (store) => store.put(entry))) !== undefined;
  }

  /** One that stays behind is sent once more some day, which is harmless. */
  async remove(id) {
    return (await this.#do("readwrite", (store) => store.delete(id))) !== undefined;
  }
}
