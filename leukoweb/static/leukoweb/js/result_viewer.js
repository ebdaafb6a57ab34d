// One field of a result, large: zoom, saliency map with its own opacity, two models side by side (the paper's Fig. 10).

import { Keymap } from "./keymap.js";
import { fetchOverlay } from "./result_saliency.js";
import { createViewer } from "./viewer_core.js";

const KEYS = [
  { action: "next", keys: ["ArrowRight", "f"], label: "Next field", group: "Fields" },
  { action: "previous", keys: ["ArrowLeft", "d"], label: "Previous field", group: "Fields" },
  { action: "saliency", keys: ["g"], label: "Saliency map on or off", group: "Saliency map" },
  { action: "less", keys: [","], label: "Less saliency map", group: "Saliency map" },
  { action: "more", keys: ["."], label: "More saliency map", group: "Saliency map" },
  { action: "fit", keys: ["0", "Home"], label: "Whole field", group: "View" },
  { action: "close", keys: ["Escape"], label: "Close", group: "View" },
];
const TOP = "";

/** One picture with a chosen model and class. */
class Pane {
  #viewer = null;
  #overlay = null;
  #abort = null;
  #objectUrl = null;

  constructor(element, { onChoice, onMove }) {
    this.element = element;
    this.stage = element.querySelector("[data-stage]");
    this.model = element.querySelector("[data-pane-model]");
    this.className = element.querySelector("[data-pane-class]");
    this.note = element.querySelector("[data-pane-note]");
    this.onMove = onMove;
    this.model.addEventListener("change", () => { this.#fillClasses(); onChoice(this); });
    this.className.addEventListener("change", () => onChoice(this));
    this.#fillClasses();
  }

  get shown() {
    return !this.element.hidden;
  }

  choose(slot) {
    if ([...this.model.options].some((option) => option.value === slot)) this.model.value = slot;
    this.#fillClasses();
  }

  #fillClasses() {
    const names = this.model.selectedOptions[0].dataset.classes.split(" ");
    const top = new Option("Its top class", TOP);
    this.className.replaceChildren(top, ...names.map((name) => new Option(name, name)));
  }

  async show(field, label) {
    this.clear();
    this.#viewer ??= this.#create();
    this.#viewer.label = label;
    try {
      return await this.#viewer.open(field.dataset.url);
    } catch (error) {
      this.note.textContent = error.message;
      return false;
    }
  }

  #create() {
    const viewer = createViewer(this.stage);
    viewer.onChange(() => this.onMove(this));
    return viewer;
  }

  /** The class whose map is shown: the chosen one, or the model's top class of this field. */
  classOf(field) {
    if (this.className.value !== TOP) return this.className.value;
    const values = field.querySelector(`[data-slot="${this.model.value}"] .is-top .value-code`);
    return values?.textContent ?? this.className.options[1].value;
  }

  async showMap(field, url, opacity) {
    this.clear();
    const name = this.classOf(field);
    const abort = new AbortController();
    this.#abort = abort;
    this.note.textContent = "";
    try {
      const map = await fetchOverlay(`${url}saliency/${field.dataset.image}/${this.model.value}/${name}/`, abort.signal, () => {
        this.note.textContent = "Being computed";
      });
      if (abort.signal.aborted) {
        URL.revokeObjectURL(map);
        return;
      }
      this.#objectUrl = map;
      this.#overlay = this.#viewer.addOverlayImage(map, { opacity, alt: `Saliency map for ${name}` });
      this.note.textContent = `Where it looked for ${name}`;
    } catch (error) {
      if (!abort.signal.aborted) this.note.textContent = error.message;
    }
  }

  setOpacity(opacity) {
    this.#overlay?.setOpacity(opacity);
  }

  clear() {
    this.#abort?.abort();
    this.#overlay?.remove();
    if (this.#objectUrl) URL.revokeObjectURL(this.#objectUrl);
    this.#overlay = this.#objectUrl = this.#abort = null;
    this.note.textContent = "";
  }

  fit() {
    this.#viewer?.fit();
  }

  get view() {
    return this.#viewer?.getView();
  }

  set view(view) {
    this.#viewer?.setView(view);
  }
}

/** The panel above the grid. */
export class FieldPanel {
  #field = null;
  #detach = null;
  #mapOn = false;
  #linking = false;

  constructor(section) {
    this.section = section;
    this.url = section.dataset.resultUrl;
    this.panel = section.querySelector("[data-viewer-panel]");
    this.title = this.panel.querySelector("[data-viewer-title]");
    this.values = this.panel.querySelector("[data-viewer-values]");
    this.range = this.panel.querySelector("[data-opacity]");
    this.side = this.panel.querySelector("[data-side-by-side]");
    const hooks = { onChoice: (pane) => this.#drawMap(pane), onMove: (pane) => this.#link(pane) };
    this.panes = [...this.panel.querySelectorAll("[data-pane]")].map((element) => new Pane(element, hooks));
    this.slots = [...this.panes[0].model.options].map((option) => option.value);
    this.panes.forEach((pane) => pane.choose(this.slots.at(-1)));
    this.keymap = new Keymap(KEYS)
      .on("next", () => this.step(1)).on("previous", () => this.step(-1)).on("close", () => this.close())
      .on("saliency", () => this.toggleMap()).on("less", () => this.#nudge(-5)).on("more", () => this.#nudge(5))
      .on("fit", () => this.panes.forEach((pane) => pane.fit()));
    this.keymap.listenToButtons(this.panel);
    this.range.addEventListener("input", () => this.#setOpacity());
    this.side.addEventListener("change", () => this.#arrange());
    this.side.disabled = this.slots.length < 2;
  }

  async open(field) {
    if (!field?.dataset.image) return;
    this.#field = field;
    const first = this.panel.hidden;
    this.panel.hidden = false;
    if (first) {
      this.panel.scrollIntoView({ block: "start" });
      this.#detach = this.keymap.attach();
    }
    this.#mark(field);
    this.title.textContent = `Field ${field.dataset.position}`;
    this.values.replaceChildren(...[...field.querySelector("[data-values]").children].map((part) => part.cloneNode(true)));
    await Promise.all(this.panes.filter((pane) => pane.shown).map((pane) => this.#draw(pane)));
  }

  async #draw(pane) {
    const field = this.#field;
    const there = await pane.show(field, `Microscope field ${field.dataset.position}`);
    if (there && field === this.#field) await this.#drawMap(pane);
  }

  async #drawMap(pane) {
    if (this.#mapOn && this.#field) await pane.showMap(this.#field, this.url, this.#opacity);
    else pane.clear();
  }

  #mark(field) {
    for (const card of this.section.querySelectorAll("[data-field]")) card.toggleAttribute("data-open-now", card === field);
  }

  step(by) {
    const fields = [...this.section.querySelectorAll("[data-field][data-image]")];
    const at = fields.findIndex((field) => field.dataset.image === this.#field?.dataset.image);
    const next = fields[at + by];
    if (next) this.open(next);
  }

  toggleMap() {
    this.#mapOn = !this.#mapOn;
    this.panel.querySelector("[data-action='saliency']").setAttribute("aria-pressed", String(this.#mapOn));
    for (const pane of this.panes) if (pane.shown) this.#drawMap(pane);
  }

  #nudge(by) {
    this.range.value = Number(this.range.value) + by;
    this.#setOpacity();
  }

  get #opacity() {
    return Number(this.range.value) / 100;
  }

  #setOpacity() {
    this.panel.querySelector("[data-opacity-text]").textContent = `${this.range.value} %`;
    for (const pane of this.panes) pane.setOpacity(this.#opacity);
  }

  #arrange() {
    const [first, second] = this.panes;
    second.element.hidden = !this.side.checked;
    this.panel.toggleAttribute("data-two", this.side.checked);
    // Two panes start with the branch's and the subtype's model, as the paper shows them; one with the finest.
    first.choose(this.side.checked ? this.slots.at(-2) : this.slots.at(-1));
    if (this.#field) this.open(this.#field);
  }

  #link(moved) {
    if (this.#linking || !this.side.checked) return;
    this.#linking = true;
    for (const pane of this.panes) if (pane !== moved && pane.shown && moved.view) pane.view = moved.view;
    this.#linking = false;
  }

  close() {
    this.panel.hidden = true;
    this.#detach?.();
    this.#detach = null;
    this.panes.forEach((pane) => pane.clear());
    this.#mark(null);
    this.#field?.querySelector("[data-open]")?.focus();
    this.#field = null;
  }
}
