// The stage of the reading board: one field, or two side by side that move together; filmstrip, zoom, what was seen.

import { fromHex, seenParts, share, toHex } from "./reading_coverage.js";
import { FieldImages } from "./reading_fields.js";
import { createViewer } from "./viewer_core.js";
import { ScaleBar } from "./viewer_scale.js";
import { Filmstrip } from "./viewer_strip.js";

const AHEAD = 3;
const KEPT_AROUND = 12; // fields on either side whose pixels stay in memory: a case may have 150 of 20 MB each

export class FieldStage {
  fields = [];
  index = -1;
  ready = true; // a field of this case arrived, or the reader was told that it did not: before that nothing is answered

  /**
   * @param {HTMLElement} root
   * @param {{imageUrl: Function, thumbUrl: Function, seen: () => void, shown: () => void, ready: () => void, pair: () => void, locked: (error: Error) => Promise<void>, missing: () => void}} hooks
   */
  constructor(root, hooks) {
    this.root = root;
    this.hooks = hooks;
    root.classList.add("is-blank");
    this.core = createViewer(root.querySelector("[data-stage]"), { navigator: true });
    this.images = new FieldImages(hooks.imageUrl);
    this.strip = new Filmstrip(root.querySelector("[data-strip]"), (index) => this.show(index));
    this.keepView = false;
    this.held = null;
    this.core.onChange(() => this.#viewMoved());
    window.addEventListener("online", () => this.mend());
    this.leader = this.core;
    const held = root.querySelector("[data-held]");
    for (const sign of ["pointerenter", "pointerdown", "wheel"]) {
      held.addEventListener(sign, () => { this.leader = this.other; }, { capture: true, passive: true });
    }
    held.addEventListener("pointerleave", () => { this.leader = this.core; });
  }

  /** What did not come while the line was down or the desk was locked is asked for again. */
  mend() {
    if (this.failed) this.show(this.index, { fresh: this.root.classList.contains("is-blank") });
    for (const small of this.strip.list.querySelectorAll("img")) {
      if (small.complete && !small.naturalWidth) small.src = small.getAttribute("src");
    }
  }

  /** Show another case. ``fields`` as the server lists them. */
  async fill(fields) {
    this.unhold();
    this.#blank(fields.length > 0); // never a field of the patient before under this case
    this.fields = fields.map((field) => ({ ...field, bits: fromHex(field.coverage), fresh: false }));
    this.index = -1;
    this.images.keepOnly(fields.map(({ image }) => image));
    const strip = fields.map((field) => ({ id: field.image, position: field.n, thumb_url: this.hooks.thumbUrl(field.image) }));
    this.strip.fill(strip, new Set(fields.filter(({ seen }) => seen).map(({ image }) => image)));
    const um = fields.find((field) => field.um)?.um ?? NaN;
    this.scale = new ScaleBar(this.root.querySelector("[data-scale]"), um);
    const first = this.fields.findIndex(({ seen }) => !seen);
    await this.show(Math.max(first, 0), { fresh: true });
  }

  #blank(blank) {
    this.ready = !blank;
    this.root.classList.toggle("is-blank", blank);
    if (blank) this.root.querySelector("[data-zoom]").textContent = "";
  }

  #isReady() {
    if (this.ready) return;
    this.ready = true;
    this.hooks.ready();
  }

  async show(index, { fresh = false } = {}) {
    const field = this.fields[index];
    if (!field || (index === this.index && !this.failed)) return;
    this.index = index;
    this.failed = false;
    this.strip.setCurrent(index);
    this.core.label = `Field ${field.n} of ${this.fields.length}`;
    this.hooks.shown();
    const late = window.setTimeout(() => this.say(`Loading field ${field.n}`), 300);
    try {
      const address = await this.images.get(field.image);
      if (this.fields[this.index] !== field) return;
      const open = await this.core.open(address, { keepView: this.keepView && !fresh });
      if (open && this.fields[this.index] === field) this.#arrived(field, index);
    } catch (error) {
      if (this.fields[this.index] === field) {
        this.failed = true;
        if (error.status === 401) this.hooks.locked(error).then(() => { if (this.failed) this.show(this.index, { fresh }); });
        else this.say(`Field ${field.n} could not be loaded. Go on, or click it in the strip to try again.`);
        if (error.status === 404) this.hooks.missing();
        if (error.status !== 401) this.#isReady();
      }
    } finally {
      window.clearTimeout(late);
    }
  }

  #arrived(field, index) {
    this.say("");
    this.root.classList.remove("is-blank");
    field.fresh = true;
    if (!field.seen) {
      field.seen = true;
      this.strip.markSeen(index);
    }
    this.#viewMoved();
    const near = this.fields.slice(Math.max(index - KEPT_AROUND, 0), index + 1 + KEPT_AROUND);
    this.images.keepOnly([...near, ...(this.held ? [this.held] : [])].map(({ image }) => image));
    this.images.ahead(this.fields.slice(index + 1, index + 1 + AHEAD).map(({ image }) => image));
    this.#isReady();
    this.hooks.seen();
  }

  get field() {
    return this.fields[this.index] ?? null;
  }

  get unseen() {
    return this.fields.filter(({ seen }) => !seen).length;
  }

  nextUnseen() {
    const after = this.fields.findIndex(({ seen }, index) => !seen && index > this.index);
    this.show(after >= 0 ? after : this.fields.findIndex(({ seen }) => !seen));
  }

  /** Active time passes on the field that is shown. */
  tick(ms) {
    const field = this.field;
    if (!field?.fresh) return;
    field.ms += ms;
    field.dirty = true;
  }

  #viewMoved() {
    const scale = this.core.imageScale;
    this.scale?.update(scale);
    this.root.querySelector("[data-zoom]").textContent = scale ? `${Math.round(scale * 100)} %` : "";
    const field = this.field;
    const size = this.core.imageSize;
    if (field?.fresh && size) {
      const before = field.bits;
      field.bits |= seenParts(this.core.getView(), size, scale);
      if (field.bits !== before) field.dirty = true;
      this.root.querySelector("[data-strip]").children[this.index]?.firstElementChild?.style.setProperty("--looked", share(field.bits));
    }
    this.#follow(this.core, this.other);
  }

  /** Totals that the server has not got: token -> {ms, coverage}. */
  report() {
    const changed = this.fields.filter((field) => field.dirty || (field.fresh && !field.told));
    const fields = Object.fromEntries(changed.map((f) => [f.image, { ms: Math.round(f.ms), coverage: toHex(f.bits) }]));
    const sent = changed.map(({ ms, bits }) => ({ ms, bits }));
    const done = () => changed.forEach((field, index) => {
      field.told = true;
      field.dirty = field.ms !== sent[index].ms || field.bits !== sent[index].bits; // what came while it was under way
    });
    return { fields, done };
  }

  /** The pane that one moves takes the other along; keys move the field that goes on. */
  #follow(from, to) {
    if (to?.imageSize && from === this.leader) to.setView(from.getView());
  }

  /**
   * Hold a field on the right while one goes on on the left. ``key``: the number of the field to hold; without it the
   * shown field is held and the next one comes up beside it, so that one never looks at the same field twice.
   */
  async hold(key) {
    const field = this.fields.find(({ n }) => n === key && n !== this.field?.n) ?? this.field;
    if (this.held || this.fields.length < 2 || !field) return;
    this.held = field;
    if (field === this.field) this.show(this.index + 1 < this.fields.length ? this.index + 1 : this.index - 1);
    const pane = this.root.querySelector("[data-pane='held']");
    pane.hidden = false;
    this.root.querySelector("[data-stages]").classList.add("is-pair");
    this.root.querySelector("[data-held-name]").textContent = `Held: field ${field.n}`;
    const other = createViewer(this.root.querySelector("[data-held]"), { label: `Held field ${field.n}` });
    Object.assign(this, { other, leader: this.core });
    other.setAdjust(this.core.adjust);
    other.onChange(() => this.#follow(other, this.core));
    this.hooks.pair();
    try {
      const address = await this.images.get(field.image);
      if (this.other === other) await other.open(address);
    } catch {
      if (this.other === other) this.say(`Field ${field.n} could not be loaded.`);
    }
    this.#follow(this.core, this.other);
  }

  unhold() {
    if (!this.held) return;
    this.held = null;
    this.other?.destroy();
    Object.assign(this, { other: null, leader: this.core });
    this.root.querySelector("[data-held]").replaceChildren();
    this.root.querySelector("[data-pane='held']").hidden = true;
    this.root.querySelector("[data-stages]").classList.remove("is-pair");
    this.hooks.pair();
  }

  setAdjust(values) {
    this.core.setAdjust(values);
    this.other?.setAdjust(values);
  }

  /** Positions of the key fields get their mark in the strip. */
  markKeys(positions) {
    this.fields.forEach((field, index) => {
      const button = this.strip.list.children[index]?.firstElementChild;
      const key = positions.includes(field.n);
      button?.classList.toggle("is-key", key);
      button?.setAttribute("aria-label", `Field ${field.n}${field.seen ? ", seen" : ""}${key ? ", key field" : ""}`);
    });
  }

  say(text) {
    const message = this.root.querySelector("[data-message]");
    message.textContent = text;
    message.hidden = !text;
  }
}
