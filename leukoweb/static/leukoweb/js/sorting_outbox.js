// Decisions on their way to the server. Each is kept in IndexedDB until the server has said that it has it, so a lost
// network, a closed tab or a sign-out loses nothing. They are sent in order; the same one twice is harmless.

import { Shelf } from "./sorting_shelf.js";
import { call } from "./upload_api.js";
import { uuid4 } from "./uuid.js";

const AT_ONCE = 250;
const TIMEOUT_MS = 20000;
const RETRIES_MS = [500, 1000, 2000, 4000, 6000]; // longer after each retry in vain; a key press tries at once

/** Ask as the board of ``owner``: refused with E_OTHER_PERSON once somebody else is signed in in this browser. */
export function callAs(owner, method, url, body, options = {}) {
  return call(method, url, body, { ...options, headers: { "X-Sorting-Board": owner } });
}

/** Changes whenever somebody signs in in this browser, whoever it is: the token that forms carry is dealt anew then. */
export function signInMark() {
  return /(?:^|; )(?:__Host-)?csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? "";
}

/**
 * States: "saved", "sending", "offline", "signed-out", "forbidden" (the owner's role; tried again), "conflict", "refused". ``onState`` hears every change,
 * ``onConflict(conflicts)`` and ``onRefused(error)`` when a person must choose.
 */
export class Outbox {
  #queue = [];
  #busy = false;
  #timer = 0;
  #failures = 0;
  #order = 0;

  constructor({ url, owner, shelf = new Shelf(), onState = () => {}, onConflict = () => {}, onRefused = () => {}, onGone = () => {} }) {
    Object.assign(this, { url, owner, shelf, onState, onConflict, onRefused, onGone });
    this.state = "saved";
    this.savedAt = null;
    this.error = null;
    this.others = ""; // somebody else is signed in here ("here"), or was and nobody is now ("gone"): until the owner is heard of
    this.mark = signInMark(); // when the owner was last heard of
  }

  /** Decisions not yet on the server, the oldest first. */
  get pending() {
    return this.#queue.flatMap(({ decisions }) => decisions);
  }

  /** Entries of which this browser has not yet said that it keeps them. */
  get nUnkept() {
    return this.#queue.reduce((n, { isKept }) => n + !isKept, 0);
  }

  /** Whether somebody else is signed in in this browser, who must not decide here. */
  get isOthers() {
    return this.others === "here";
  }

  /** Whether somebody signed in in this browser since the server last said that it is the owner; who, is not known yet. */
  get inDoubt() {
    const mark = signInMark();
    return Boolean(mark) && mark !== this.mark;
  }

  /**
   * How another request of the board fared: one that finds somebody else here, or nobody, tells it before a decision does.
   * ``mark``: as it was when the request left.
   */
  heard(error = null, mark = this.mark) {
    const barred = this.others;
    this.#noteWho(error, mark);
    if (error?.status === 401 && this.state !== "conflict" && this.state !== "refused") this.#failed(error);
    else if (!error && this.state === "signed-out" && !this.#queue.length) this.#become("saved");
    else if (this.others !== barred) this.onState(this);
  }

  /** Only an answer to the owner lifts the bar: no lost network and no busy server does. */
  #noteWho(error, mark) {
    if (!error) [this.others, this.mark] = ["", mark];
    else if (error.code === "E_OTHER_PERSON") this.others = "here";
    else if (error.status === 401 && this.others) this.others = "gone";
  }

  get nPending() {
    return this.#queue.reduce((n, { decisions }) => n + decisions.length, 0);
  }

  /** Load what an earlier window left behind. Call once, then ``pump``. */
  async open() {
    const found = (await this.shelf.open()) ? await this.shelf.entries(this.owner) : [];
    this.shelf.onLost = () => this.#keptNoMore();
    this.shelf.onReopened = () => this.#keepAgain();
    this.unread = found === null; // something may lie there that nobody sees
    this.#queue = (found ?? []).map((entry) => ({ ...entry, isKept: true }));
    this.#order = this.#queue.reduce((last, { order }) => Math.max(last, order), Date.now());
    window.addEventListener("online", () => this.pump());
    window.addEventListener("focus", () => this.state !== "saved" && this.pump());
    return this.pending;
  }

  /** Take decisions in; they count as pending from this moment on. */
  add(decisions) {
    for (let start = 0; start < decisions.length; start += AT_ONCE) {
      this.#order += 1;
      const entry = { id: uuid4(), owner: this.owner, order: this.#order, decisions: decisions.slice(start, start + AT_ONCE) };
      this.#queue.push(entry);
      entry.kept = this.#keep(entry);
    }
    if (this.state === "saved") this.#become("sending");
    else this.onState(this);
    this.pump();
  }

  /** Put it on the shelf; from then on the badge says that this browser has it. */
  async #keep(entry) {
    const { id, owner, order, decisions } = entry;
    entry.isKept = (await this.shelf.put({ id, owner, order, decisions })) !== false;
    if (this.nUnkept === 0) this.onState(this);
  }

  /** The browser closed its storage and may have emptied it. */
  #keptNoMore() {
    for (const entry of this.#queue) entry.isKept = false;
    this.onState(this);
  }

  #keepAgain() {
    for (const entry of this.#queue) entry.kept = this.#keep(entry);
  }

  /** Send what is there. Does nothing while a person must choose, unless ``force``. */
  async pump({ force = false } = {}) {
    if (this.#busy || !this.#queue.length) return;
    if (!force && (this.state === "conflict" || this.state === "refused")) return;
    clearTimeout(this.#timer);
    this.#busy = true;
    try {
      while (this.#queue.length) await this.#sendSome();
      this.#become("saved");
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#busy = false;
    }
    if (this.#queue.length && this.state === "sending") this.pump();
  }

  async #sendSome() {
    const batch = [];
    let size = 0;
    for (const entry of this.#queue) {
      if (batch.length && size + entry.decisions.length > AT_ONCE) break;
      batch.push(entry);
      size += entry.decisions.length;
    }
    const decisions = batch.flatMap((entry) => entry.decisions);
    const mark = signInMark();
    const answer = await callAs(this.owner, "POST", this.url, { decisions }, { timeout_ms: TIMEOUT_MS });
    if (typeof answer?.n_new !== "number") throw Object.assign(new Error("Not our server answered."), { status: 0 });
    this.#noteWho(null, mark);
    this.#queue = this.#queue.filter((entry) => !batch.includes(entry));
    this.#failures = 0;
    this.savedAt = new Date();
    this.#become(this.#queue.length ? "sending" : "saved");
    if (answer.gone.length) this.onGone(answer.gone);
    await Promise.all(batch.map(async ({ id, kept }) => {
      await kept;
      await this.shelf.remove(id);
    }));
  }

  #failed(error) {
    this.error = error;
    this.#noteWho(error);
    clearTimeout(this.#timer);
    const { status = 0, code = "" } = error;
    if (code === "E_STALE") {
      this.#become("conflict");
      this.onConflict(error.body.conflicts);
      return;
    }
    const forbidden = status === 403 && code !== "E_CSRF"; // a role or a missing second step, which may be given back
    const again = status === 0 || status === 401 || forbidden || status === 408 || status === 429 || status >= 500 || code === "E_CSRF";
    if (!again) {
      this.#become("refused");
      this.onRefused(error);
      return;
    }
    this.#become(status === 401 ? "signed-out" : forbidden ? "forbidden" : "offline");
    const wait = RETRIES_MS[Math.min(this.#failures, RETRIES_MS.length - 1)];
    this.#timer = setTimeout(() => {
      this.#failures += 1;
      this.pump();
    }, wait);
  }

  /**
   * The person chose: keep what the server has for ``image``, or put the last decision of this window on top of ``key``.
   * Earlier ones of this window go: the server may know them already and would skip them, so a later one that names
   * them as seen would be refused again, each time.
   */
  async settle(image, { keepTheirs, key }) {
    const last = keepTheirs ? undefined : this.pending.findLast((one) => one.image === image);
    for (const entry of this.#queue) {
      entry.decisions = entry.decisions
        .filter((one) => one.image !== image || one === last)
        .map((one) => (one === last ? { ...one, seen: key } : one));
      await entry.kept;
      if (!entry.decisions.length) await this.shelf.remove(entry.id);
      else await (entry.kept = this.#keep(entry));
    }
    this.#queue = this.#queue.filter(({ decisions }) => decisions.length);
  }

  /** Go on after a choice. */
  resume() {
    this.#become(this.#queue.length ? "sending" : "saved");
    return this.pump({ force: true });
  }

  /** Throw away what the server does not accept. */
  async discard() {
    const gone = this.#queue;
    this.#queue = [];
    for (const { id, kept } of gone) {
      await kept;
      await this.shelf.remove(id);
    }
    this.#become("saved");
  }

  #become(state) {
    this.state = state;
    this.onState(this);
  }
}

/** What the badge says: how many decisions the server does not have yet, and why. */
export function badgeWords({ state, nPending, nUnkept = 0, savedAt, isOthers = false, error = null }) {
  const count = `${nPending} not yet on the server`;
  const where = nUnkept ? "kept in this window only" : "kept in this browser";
  if (nPending === 0 && isOthers) return "Somebody else is signed in now";
  if (nPending === 0 && state === "signed-out") return "Signed out";
  if (nPending === 0) return savedAt ? `All saved ${savedAt.toLocaleTimeString([], { hour12: false })} local time` : "All saved";
  if (isOthers) return `Somebody else is signed in now: ${count}, ${where}`;
  if (state === "offline") return `Offline: ${count}, ${where}`;
  if (state === "forbidden") return `Not allowed now: ${count}, ${where}. ${error.message}`;
  if (state === "signed-out") return `Signed out: ${count}, ${where}`;
  if (state === "conflict") return `${count}: decided in another window too`;
  if (state === "refused") return `${count}: not accepted`;
  return count;
}
