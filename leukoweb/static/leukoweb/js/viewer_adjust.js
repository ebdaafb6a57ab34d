// Brightness and contrast of the display, with a badge that says so: what is stored and computed never changes.

const STEP = 0.1;
const LOWEST = 0.3;
const HIGHEST = 2.5;

const clamp = (value) => Math.round(Math.min(HIGHEST, Math.max(LOWEST, value)) * 100) / 100;
const percent = (value) => `${Math.round(value * 100)} %`;

export class Adjuster {
  #values = { brightness: 1, contrast: 1 };

  /** @param {HTMLElement} root holding [data-adjust=brightness|contrast] sliders in percent and [data-adjust-badge] */
  constructor(root, apply) {
    this.apply = apply;
    this.badge = root.querySelector("[data-adjust-badge]");
    this.words = root.querySelector("[data-adjust-words]");
    this.sliders = [...root.querySelectorAll("[data-adjust]")];
    for (const slider of this.sliders) {
      slider.min = LOWEST * 100;
      slider.max = HIGHEST * 100;
      slider.addEventListener("input", () => this.set({ [slider.dataset.adjust]: slider.valueAsNumber / 100 }));
    }
    this.set({});
  }

  set(values) {
    for (const [name, value] of Object.entries(values)) this.#values[name] = clamp(value);
    const { brightness, contrast } = this.#values;
    for (const slider of this.sliders) slider.value = this.#values[slider.dataset.adjust] * 100;
    this.badge.hidden = brightness === 1 && contrast === 1;
    this.words.textContent = `Brightness ${percent(brightness)}, contrast ${percent(contrast)}. Display only.`;
    this.apply({ brightness, contrast });
  }

  /** ``step("brightness", 1)`` is one step brighter. */
  step(name, steps) {
    this.set({ [name]: this.#values[name] + steps * STEP });
  }

  reset() {
    this.set({ brightness: 1, contrast: 1 });
  }
}
