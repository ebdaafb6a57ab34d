// One image, large: zoom and pan by viewer_core, the coming images decoded ahead, and how long a change took to appear.

import { createViewer, Prefetcher } from "./viewer_core.js";

const AHEAD = 6; // so many can still be looked at when the line goes
const VEIL_MS = 300;
const AGAIN_MS = 2000;

/** The next frame that was really painted. */
function painted() {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame((time) => resolve(time))));
}

export class Single {
  #wanted = -1;
  #shown = -1;
  #timer = 0;
  #unfitted = true; // the stage has a size that the viewer may not know yet: it was hidden

  /**
   * @param {HTMLElement} root with [data-single-stage], -words, -said, -message
   * @param {{url: (id: string) => string, describe: Function, onShown?: () => void}} hooks
   */
  constructor(root, model, hooks) {
    this.root = root;
    this.model = model;
    this.hooks = hooks;
    this.keepView = false;
    this.prefetcher = new Prefetcher(2 * AHEAD + 2);
  }

  part(name) {
    return this.root.querySelector(`[data-single-${name}]`);
  }

  /** Index of the image that is really on the screen; -1 while the one in focus is not there (yet). */
  get shown() {
    return this.#shown;
  }

  /**
   * Show the image in focus. ``pressedAt`` is the time of the key press that led here, if one did; ``again``: it failed
   * before, and what is said of that stays.
   */
  async show({ pressedAt = 0, again = false } = {}) {
    const item = this.model.items[this.model.focus];
    if (!item) return;
    this.describe();
    if (this.#wanted === item.index) return;
    this.#wanted = item.index;
    this.#shown = -1;
    clearTimeout(this.#timer);
    if (!again) this.#timer = setTimeout(() => this.#veil("Loading"), VEIL_MS);
    this.core ??= createViewer(this.part("stage"), { label: "Field" });
    this.core.label = this.hooks.describe(item).where;
    try {
      const shown = await this.core.open(this.hooks.url(item.id), { keepView: this.keepView });
      if (!shown || this.#wanted !== item.index) return;
    } catch {
      if (this.#wanted !== item.index) return;
      this.#wanted = -1;
      this.#veil("The image could not be loaded. It is tried again; or go on, and come back to it later.");
      this.#timer = setTimeout(() => this.show({ again: true }), AGAIN_MS);
      return;
    }
    if (!this.part("stage").clientWidth) { // in the gallery by now: on a stage without a size it does not fit
      clearTimeout(this.#timer);
      this.#wanted = -1;
      this.#unfitted = true;
      return;
    }
    if (this.#unfitted) {
      await painted(); // by then it knows
      if (this.#wanted !== item.index) return;
      this.#unfitted = false;
      this.core.fit({ at_once: true });
    }
    this.#veil("");
    this.#shown = item.index;
    this.hooks.onShown?.();
    this.prefetcher.fetch(this.model.ahead(AHEAD).map((index) => this.hooks.url(this.model.items[index].id)));
    const time = await painted();
    if (pressedAt) {
      this.root.dispatchEvent(new CustomEvent("sorting:painted", { bubbles: true, detail: { ms: time - pressedAt, id: item.id } }));
    }
  }

  /** The words beside the image: where it is from, what was said of it. */
  describe() {
    const item = this.model.items[this.model.focus];
    if (!item) return;
    const { words, where, code, colour, said } = this.hooks.describe(item);
    this.part("where").textContent = where;
    const mark = this.part("mark");
    mark.textContent = code;
    mark.hidden = !code;
    mark.style.setProperty("--class-color", colour || "transparent");
    this.part("words").textContent = words;
    this.part("said").textContent = said;
    this.part("said").hidden = !said;
  }

  /** Another image than the one in focus must not be taken for it: hidden for as long as there is something to say. */
  #veil(text) {
    clearTimeout(this.#timer);
    this.part("stage").toggleAttribute("data-veiled", Boolean(text));
    this.say(text);
  }

  /** A decision was asked for while the image is not on the screen. */
  refuse() {
    if (this.#wanted === -1) this.show(); // it failed: once more
    else this.say("Loading. Nothing was decided.");
  }

  say(text) {
    const message = this.part("message");
    message.textContent = text;
    message.hidden = !text;
  }
}
