// Brings answers to the server, in order, each under a key of its own, until the server has said that it has them.
// An answer leaves the queue only on a 2xx; the badge says what is true.

import { ask } from "./reading_api.js";

const WAITS_MS = [500, 1000, 2000, 5000, 10000];

export class AnswerSync {
  #draining = null;
  #failures = 0;
  #timer = 0;
  #held = false;
  #closed = false;
  #number = Date.now();

  /**
   * @param {import("./reading_store.js").Queue} queue
   * @param {{url: (token: string) => string, changed: (state: object) => void, clash: Function, refused: Function, locked: Function, gone: Function, closed: Function}} hooks
   */
  constructor(queue, hooks) {
    this.queue = queue;
    this.hooks = hooks;
    this.versions = new Map(); // case -> version that the server has confirmed
    this.savedAt = null;
    window.addEventListener("online", () => this.flush());
  }

  /** The newest answer of a case that is still on its way, or null. */
  pending(token) {
    return this.queue.items.findLast((item) => item.case === token)?.answer ?? null;
  }

  know(token, version) {
    if (!this.versions.has(token) || version > this.versions.get(token)) this.versions.set(token, version);
  }

  async save(token, answer) {
    await this.#put(token, answer);
    this.#tell();
    this.flush();
  }

  /** A later state of the same case takes the place of one that is not on its way; it lies here before that one goes. */
  async #put(token, answer) {
    const waiting = this.queue.items.filter((item) => item.case === token && item.key !== this.current);
    const item = { key: crypto.randomUUID(), case: token, answer, n: ++this.#number, version: this.versions.get(token) ?? 0 };
    await this.queue.put(item);
    for (const old of waiting) await this.queue.remove(old.key);
  }

  /** Go on after the desk was unlocked or the reader signed in again. */
  release() {
    this.#held = this.#closed = false;
    this.#failures = 0;
    return this.flush();
  }

  /** Send what waits. Resolves when the queue is empty or cannot be emptied now; true if it is empty. */
  async flush() {
    do {
      this.#draining ??= this.#drain().finally(() => { this.#draining = null; });
      await this.#draining;
    } while (this.queue.size && !this.#held && !this.#failures);
    return this.queue.size === 0;
  }

  async #drain() {
    window.clearTimeout(this.#timer);
    while (this.queue.size && !this.#held && await this.#send(this.queue.items[0]));
    this.#tell();
  }

  async #send(item) {
    this.current = item.key;
    this.#tell();
    try {
      const version = this.versions.get(item.case) ?? item.version;
      const reply = await ask(this.hooks.url(item.case), { key: item.key, version, answer: item.answer });
      this.versions.set(item.case, reply.version);
      this.savedAt = new Date();
      this.#failures = 0;
      await this.queue.remove(item.key);
      return true;
    } catch (error) {
      return this.#failed(item, error);
    } finally {
      this.current = null;
    }
  }

  async #failed(item, error) {
    if (error.code === "E_VERSION") {
      this.#held = true;
      this.hooks.clash(item.case, error.body);
    } else if (error.status === 401) {
      this.#held = true;
      this.hooks.locked(error);
    } else if (error.status === 404) {
      this.#held = true; // the session is closed, or somebody else signed in here: the answer stays where it is
      this.hooks.gone();
    } else if (error.code === "E_CLOSED") {
      this.#held = this.#closed = true; // the last day is over, but it may be moved: what waits is sent by the next page
      this.hooks.closed(error);
    } else if (error.passing || error.code === "E_CSRF") {
      const wait = WAITS_MS[Math.min(this.#failures++, WAITS_MS.length - 1)];
      this.#timer = window.setTimeout(() => this.flush(), wait);
    } else {
      await this.queue.remove(item.key); // the server will never take it: say so instead of trying for ever
      this.hooks.refused(item, error);
      return true;
    }
    return false;
  }

  /**
   * After a clash: the newest of the reader's own answers to the case goes on top of version ``version``, or all of
   * them are dropped. More than one may wait: what was changed while the first was on its way stands behind it.
   */
  async settle(token, { version, keep }) {
    this.versions.set(token, version);
    const mine = this.queue.items.filter((item) => item.case === token);
    if (keep && mine.length) await this.#put(token, mine.at(-1).answer);
    else await Promise.all(mine.map(({ key }) => this.queue.remove(key)));
    this.#held = false;
    this.#tell();
    this.flush();
  }

  #tell() {
    this.hooks.changed({ pending: this.queue.size, at: this.savedAt, failing: this.#failures > 0 || this.#held, closed: this.#closed });
  }
}
