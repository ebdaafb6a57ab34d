// One image, large: zoom and pan by viewer_core, the coming images decoded ahead, and how long a change took to appear.

import { createViewer, Prefetcher } from "./viewer_core.js";

const AHEAD = 3;

/** The next frame that was really painted. */
function painted() {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame((time) => resolve(time))));
}

export class Single {
  #wanted = -1;

  /** @param {HTMLElement} root with [data-single-stage], -words, -said, -message  @param {{url: (id: string) => string}} hooks */
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

  /** Show the image in focus. ``pressedAt`` is the time of the key press that led here, if one did. */
  async show({ pressedAt = 0 } = {}) {
    const item = this.model.items[this.model.focus];
    if (!item) return;
    this.describe();
    if (this.#wanted === item.index) return;
    this.#wanted = item.index;
    this.core ??= createViewer(this.part("stage"), { label: "Field" });
    this.core.label = this.hooks.describe(item).where;
    try {
      const shown = await this.core.open(this.hooks.url(item.id), { keepView: this.keepView });
      if (!shown) return;
      this.say("");
    } catch {
      if (this.#wanted === item.index) this.#wanted = -1;
      this.say("The image could not be loaded. Go on, and come back to it later.");
      return;
    }
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

  say(text) {
    const message = this.part("message");
    message.textContent = text;
    message.hidden = !text;
  }
}
