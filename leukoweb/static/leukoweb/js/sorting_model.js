// What the board knows: the queue, what was decided, which images are shown, chosen and in focus. No DOM, no network.

import { uuid4 } from "./uuid.js";

export const UNDECIDED = ["", "cleared"];

export class SortingModel {
  #dragged = null; // the choice that dragging made, and the one before

  /** @param {Array} rows of the queue's answer: [image, slide, camera, verdict, label, reason, key, said?] */
  constructor(rows) {
    this.items = rows.map(([id, slide, camera, verdict, label, reason, key, said], index) => (
      { index, id, slide, camera, verdict, label, reason, key, said: said ?? [], ms: 0 }
    ));
    this.byId = new Map(this.items.map((item) => [item.id, item]));
    this.filter = { what: "all", slide: 0, camera: 0, order: "queue" };
    this.selection = new Set();
    this.focus = this.items.length ? 0 : -1;
    this.anchor = this.focus;
    this.refilter();
  }

  isDecided(item) {
    return !UNDECIDED.includes(item.verdict);
  }

  get nDecided() {
    return this.items.reduce((n, item) => n + this.isDecided(item), 0);
  }

  /** Verdict or label -> how many. */
  counts() {
    const counts = new Map();
    for (const item of this.items) {
      const name = item.label || (this.isDecided(item) ? item.verdict : "undecided");
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return counts;
  }

  #fits(item) {
    const { what, slide, camera } = this.filter;
    if (slide && item.slide !== slide) return false;
    if (camera && item.camera !== camera) return false;
    if (what === "all") return true;
    if (what === "undecided") return !this.isDecided(item);
    if (what === "decided") return this.isDecided(item);
    return item.label === what || (!item.label && item.verdict === what);
  }

  /** Work out which images are shown. Only on request, so that nothing moves away under the pointer while sorting. */
  refilter(change = {}) {
    Object.assign(this.filter, change);
    this.shown = this.items.filter((item) => this.#fits(item)).map(({ index }) => index);
    const key = {
      class: (item) => (this.isDecided(item) ? `1${item.label || item.verdict}` : "0"),
      slide: (item) => String(item.slide).padStart(6, "0"),
    }[this.filter.order];
    if (key) {
      const keys = new Map(this.shown.map((index) => [index, key(this.items[index])]));
      const order = (x, y) => Number(x > y) - Number(x < y); // plain text: localeCompare takes long on thousands
      this.shown.sort((a, b) => order(keys.get(a), keys.get(b)) || a - b);
    }
    this.place = new Map(this.shown.map((index, at) => [index, at]));
    this.selection = new Set([...this.selection].filter((index) => this.place.has(index)));
    if (!this.place.has(this.focus)) this.focus = this.shown[0] ?? -1;
    this.anchor = this.focus;
  }

  /** The image ``step`` further on among those shown; stops at both ends. */
  neighbour(step, from = this.focus) {
    const at = this.place.get(from) ?? 0;
    return this.shown[Math.max(0, Math.min(this.shown.length - 1, at + step))] ?? -1;
  }

  /** The next undecided image after ``from`` among those shown, going round once; -1 if none is left. */
  nextUndecided(from = this.focus) {
    const start = this.place.get(from) ?? -1;
    for (let step = 1; step <= this.shown.length; step += 1) {
      const index = this.shown[(start + step) % this.shown.length];
      if (index !== from && !this.isDecided(this.items[index])) return index;
    }
    return -1;
  }

  /** The next few images that will probably be asked for. */
  ahead(count) {
    const found = [];
    let from = this.focus;
    while (found.length < count) {
      from = this.nextUndecided(from);
      if (from < 0 || found.includes(from) || from === this.focus) break;
      found.push(from);
    }
    for (let step = 1; found.length < count && step <= count; step += 1) {
      const index = this.neighbour(step);
      if (index !== this.focus && !found.includes(index)) found.push(index);
    }
    return found;
  }

  selectRange(to) {
    const [a, b] = [this.place.get(this.anchor) ?? 0, this.place.get(to) ?? 0].sort((x, y) => x - y);
    this.selection = new Set(this.shown.slice(a, b + 1));
    this.focus = to;
  }

  toggle(index) {
    if (!this.selection.delete(index)) this.selection.add(index);
    this.focus = index;
    this.anchor = index;
  }

  /** An image that was not chosen is dragged: it is for as long as that lasts. */
  drag(index) {
    if (this.selection.has(index)) return;
    this.#dragged = { made: new Set([index]), before: this.selection };
    this.selection = this.#dragged.made;
  }

  /** Given up: what was chosen before is chosen again. A decision has emptied the choice. */
  dragEnd() {
    const { made, before } = this.#dragged ?? {};
    this.#dragged = null;
    if (made?.size && this.selection === made) this.selection = before;
  }

  selectAll() {
    this.selection = new Set(this.shown);
  }

  invert() {
    this.selection = new Set(this.shown.filter((index) => !this.selection.has(index)));
  }

  /**
   * Put a verdict on images, each looked at for another ``ms``. Returns what to save and what to undo, or null if it would change nothing.
   * @param {{id: string, verdict: string, label?: string, reason?: string}[]} wishes
   */
  decide(wishes, { origin, ms = 0 }) {
    const key = uuid4();
    const decisions = [];
    const changes = [];
    for (const { id, verdict, label = "", reason = "" } of wishes) {
      const item = this.byId.get(id);
      if (!item) continue;
      item.ms += ms;
      const after = { verdict, label, reason };
      const before = { verdict: item.verdict || "cleared", label: item.label, reason: item.reason };
      if (["verdict", "label", "reason"].every((name) => before[name] === after[name])) continue;
      const shown_ms = Math.round(item.ms);
      decisions.push({ image: id, key, seen: item.key, ...after, origin, shown_ms });
      changes.push({ id, before, after });
      this.stand(item, { ...after, key });
      item.ms = 0;
    }
    return decisions.length ? { decisions, changes } : null;
  }

  /** An image was looked at for so long, and not decided. */
  look(ms, index = this.focus) {
    if (this.items[index]) this.items[index].ms += ms;
  }

  /** Decisions that wait in this browser, where they follow what the server has: else it has them already, and more. */
  standOn(pending) {
    for (const one of pending) {
      const item = this.byId.get(one.image);
      if (item && (one.seen ?? null) === (item.key ?? null)) this.stand(item, one);
    }
  }

  /** What stands on an image now, whoever wrote it (this window, an earlier one, another one). */
  stand(item, { verdict, label, reason, key }) {
    Object.assign(item, { verdict, label, reason, key });
  }
}
