// Two fields side by side: one stays, the other goes on with the keys; pan and zoom move both while they are linked.

import { createViewer } from "./viewer_core.js";

export class Compare {
  #second = null;
  #leader = null;

  /** @param {HTMLElement} wrap holding [data-viewer-stage] and [data-viewer-second]  @param {FieldViewer} main */
  constructor(wrap, main) {
    this.wrap = wrap;
    this.main = main;
    this.stage = wrap.querySelector("[data-viewer-second]");
    this.tags = { main: wrap.querySelector("[data-viewer-tag='main']"), second: wrap.querySelector("[data-viewer-tag='second']") };
    this.linked = true;
    main.onChange(() => this.#follow(main, this.#second));
    // Who moves is who is under the pointer; keys act on the field that goes on.
    this.stage.addEventListener("pointerenter", () => { this.#leader = this.#second; });
    this.stage.addEventListener("wheel", () => { this.#leader = this.#second; }, { capture: true, passive: true });
    this.stage.addEventListener("pointerleave", () => this.lead());
  }

  get open() {
    return this.wrap.hasAttribute("data-compare");
  }

  /** Let the main field move the other one again. */
  lead() {
    this.#leader = this.main;
  }

  /** Keep ``image`` in the left half. Resolves once it is shown. */
  async start(image) {
    this.wrap.setAttribute("data-compare", "");
    this.stage.hidden = false;
    for (const tag of Object.values(this.tags)) tag.hidden = false;
    this.tags.second.textContent = `Field ${image.position}, kept`;
    if (!this.#second) {
      this.#second = createViewer(this.stage);
      this.#second.onChange(() => this.#follow(this.#second, this.main));
    }
    this.lead();
    this.#second.label = `Field ${image.position}, kept for comparison`;
    this.#second.setAdjust(this.main.adjust);
    if (await this.#second.open(image.url)) this.#second.setView(this.main.getView());
  }

  stop() {
    this.wrap.removeAttribute("data-compare");
    this.stage.hidden = true;
    for (const tag of Object.values(this.tags)) tag.hidden = true;
    this.#second?.destroy();
    this.#second = null;
    this.stage.replaceChildren();
  }

  setAdjust(values) {
    this.#second?.setAdjust(values);
  }

  setLinked(linked) {
    this.linked = linked;
    if (linked) this.#follow(this.main, this.#second);
  }

  #follow(from, to) {
    if (!this.open || !this.linked || !from || !to || from !== this.#leader || !to.imageSize) return;
    to.setView(from.getView());
  }
}
