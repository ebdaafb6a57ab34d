// Brings answers to the server, in order, each under a key of its own, until the server has said that it has them.
// An answer leaves the queue on a 2xx, or when the case takes none any more; the badge says what is true.

import { ask } from "./reading_api.js";
import { uuid4 } from "./uuid.js";

const WAITS_MS = [500, 1000, 2000, 5000, 10000];
const OVER = ["E_FORWARD", "E_GONE"]; // the case was left, or withdrawn: no answer to it is taken any more

export class AnswerSync {
  #draining = null;
  #failures = 0;
  #timer = 0;
  #held = false;
  #closed = false;
  #number = Date.now();
  #unfit = new Map(); // key of an answer that was set aside -> the server's words
  #refusal = ""; // why nothing is taken now, though the server answers

  /**
   * @param {object} queue  A Queue of reading_store.js
   * @param {{url: (token: string) => string, changed: (state: object) => void, clash: Function, dropped: Function, locked: Function, gone: Function, closed: Function}} hooks
   */
  constructor(queue, hooks) {
    this.queue = queue;
    this.hooks = hooks;
    this.versions = new Map(); // case -> version that the server has confirmed
    this.confirmed = new Map(); // case -> the own answer that has this version
    this.savedAt = null;
    window.addEventListener("online", () => this.flush());
  }

  #of(token) {
    return this.queue.items.filter((item) => item.case === token);
  }

  /** The newest answer of a case that is still on its way, or null. */
  pending(token) {
    return this.#of(token).at(-1)?.answer ?? null;
  }

  /** Why the newest answer of a case was not accepted, in the server's words; empty where it was or may still be. */
  refusal(token) {
    const last = this.#of(token).at(-1);
    return last ? this.#unfit.get(last.key) ?? this.#refusal : "";
  }

  /** The answer to a case that the server has just described; it may have done so before it got the newest one. */
  newest({ case: token, version, answer }) {
    const known = this.versions.get(token) ?? -1;
    if (version > known) this.versions.set(token, version);
    return this.pending(token) ?? (version < known && this.confirmed.get(token) || answer);
  }

  async save(token, answer) {
    const waiting = this.#of(token);
    // It follows what waits, not what another window may have stored meanwhile: else that would be overwritten unseen.
    const version = waiting.at(-1)?.version ?? this.versions.get(token) ?? 0;
    await this.#put(token, answer, version, waiting);
    this.tell();
    this.flush();
  }

  /**
   * A later state of the same case takes the place of one that was never sent; it lies here before that one goes. One
   * that was sent stays until it is answered: its reply may be lost, and only its key tells then that it was ours.
   */
  async #put(token, answer, version, replaced) {
    await this.queue.put({ key: uuid4(), case: token, answer, n: ++this.#number, version, sent: false });
    for (const { key } of replaced) {
      if (!this.queue.get(key)?.sent || this.#unfit.delete(key)) await this.queue.remove(key);
    }
  }

  /** Go on after the desk was unlocked or the reader signed in again. */
  release() {
    this.#held = this.#closed = false;
    this.#failures = 0;
    this.#unfit.clear();
    return this.flush();
  }

  /** Send what waits. Resolves when the queue is empty or cannot be emptied now; true if it is empty. */
  async flush() {
    do {
      this.#draining ??= this.#drain().finally(() => { this.#draining = null; });
      await this.#draining;
    } while (this.#next && !this.#held && !this.#failures);
    return this.queue.size === 0;
  }

  get #next() {
    return this.queue.items.find(({ key }) => !this.#unfit.has(key));
  }

  async #drain() {
    window.clearTimeout(this.#timer);
    while (this.#next && !this.#held && await this.#send(this.#next));
    this.tell();
  }

  async #send(item) {
    const { key, case: token, version, answer } = item;
    try {
      await this.queue.put({ ...item, sent: true }); // before it goes: the page may not be there for the reply
      this.tell();
      const reply = await ask(this.hooks.url(token), { key, version, answer });
      this.versions.set(token, reply.version);
      this.confirmed.set(token, answer);
      this.savedAt = new Date();
      this.#failures = 0;
      this.#refusal = "";
      await Promise.all([this.queue.remove(key), this.queue.rest(token, reply.version)]); // at once: somebody is typing
      return true;
    } catch (error) {
      return this.#failed(item, error);
    }
  }

  async #failed({ key, case: token }, error) {
    this.#refusal = "";
    if (error.code === "E_VERSION") {
      this.#held = true;
      this.hooks.clash(token, error.body);
    } else if (error.status === 401) {
      this.#held = true;
      this.hooks.locked(error);
    } else if (error.status === 404) {
      this.#held = true; // the session is closed, or somebody else signed in here: the answer stays where it is
      this.hooks.gone();
    } else if (error.code === "E_CLOSED") {
      this.#held = this.#closed = true; // the last day is over, but it may be moved: what waits is sent by the next page
      this.hooks.closed(error);
    } else if (OVER.includes(error.code)) {
      await this.queue.remove(key);
      this.hooks.dropped(error);
      return true;
    } else if (error.status === 400 && error.code) { // not as it is; another answer to the same case may be taken
      await this.#setAside(key, token, error.message);
      return true;
    } else {
      if (!error.passing && error.code !== "E_CSRF") this.#refusal = error.message;
      const wait = WAITS_MS[Math.min(this.#failures++, WAITS_MS.length - 1)];
      this.#timer = window.setTimeout(() => this.flush(), wait);
    }
    return false;
  }

  /** Kept, and said, until the reader answers otherwise; where that was done meanwhile, the later answer counts. */
  async #setAside(key, token, words) {
    if (this.#of(token).at(-1)?.key === key) this.#unfit.set(key, words);
    else await this.queue.remove(key);
  }

  /**
   * After a clash: the newest of the reader's own answers to the case goes on top of version ``version``, or all of
   * them are dropped. More than one may wait: what was changed while the first was on its way stands behind it.
   */
  async settle(token, { version, keep }) {
    this.versions.set(token, version);
    this.confirmed.delete(token);
    const mine = this.#of(token);
    if (keep && mine.length) await this.#put(token, mine.at(-1).answer, version, []);
    for (const { key } of mine) await this.queue.remove(key);
    this.#held = false;
    this.tell();
    this.flush();
  }

  /** Say how things stand. */
  tell() {
    const [aside] = this.queue.items.filter(({ key }) => this.#unfit.has(key));
    this.hooks.changed({
      pending: this.queue.cases, at: this.savedAt, failing: this.#failures > 0 || this.#held, closed: this.#closed,
      refused: aside ? { case: aside.case, words: this.#unfit.get(aside.key) } : this.#refusal ? { words: this.#refusal } : null,
    });
  }
}
