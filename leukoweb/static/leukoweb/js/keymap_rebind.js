// Own keys: the sheet of keys with a "Change" beside each action; the choice stays in this browser.

import { isModifier, keyName, keySign, mayBind, renderSheet } from "./keymap.js";

const storeKey = (name) => `leukoweb.keys.${name}`;

/** Give the keymap the keys that somebody chose in this browser; a choice that no longer fits is dropped. */
export function loadKeys(keymap, name) {
  let chosen = {};
  try {
    chosen = JSON.parse(window.localStorage.getItem(storeKey(name))) ?? {};
  } catch {
    return; // storage is switched off, or holds something else
  }
  const known = new Set(keymap.entries.map(({ action }) => action));
  const fitting = Object.entries(chosen).filter(([action, keys]) => known.has(action) && Array.isArray(keys));
  try {
    keymap.rebindAll(Object.fromEntries(fitting));
  } catch {
    // a key that another action has by now
  }
}

function save(name, chosen) {
  try {
    if (Object.keys(chosen).length) window.localStorage.setItem(storeKey(name), JSON.stringify(chosen));
    else window.localStorage.removeItem(storeKey(name));
  } catch {
    // the choice lasts for the page
  }
}

/** A sheet in ``dialog`` ([data-sheet], [data-keys-message]) on which keys can be changed. */
export class KeySheet {
  constructor(dialog, keymap, name, standard) {
    Object.assign(this, { dialog, keymap, name, standard });
    this.message = dialog.querySelector("[data-keys-message]");
    this.waiting = null;
    this.chosen = {};
    for (const { action, keys } of keymap.entries) if (String(keys) !== String(this.#before(action))) this.chosen[action] = keys;
    dialog.querySelector("[data-keys-reset]").addEventListener("click", () => this.#reset());
    dialog.addEventListener("keydown", (event) => this.#press(event));
    dialog.addEventListener("close", () => this.#wait(null));
  }

  open() {
    this.#say("");
    this.#draw();
    this.dialog.showModal();
  }

  #before(action) {
    return this.standard.find((entry) => entry.action === action).keys;
  }

  #label(action) {
    return this.standard.find((entry) => entry.action === action).label;
  }

  #draw() {
    renderSheet(this.dialog.querySelector("[data-sheet]"), this.keymap, ({ action, label }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn btn-link btn-sm";
      button.dataset.rebind = action;
      button.textContent = "Change";
      button.setAttribute("aria-label", `Change the key for: ${label}`);
      button.addEventListener("click", () => this.#wait(action));
      return button;
    });
  }

  #wait(action) {
    this.waiting = action;
    if (action) this.#say(`Press the new key for “${this.#label(action)}”, or Escape to leave it.`);
  }

  #press(event) {
    if (!this.waiting) return;
    event.preventDefault();
    event.stopPropagation();
    const action = this.waiting;
    if (event.key === "Escape") {
      this.#wait(null);
      this.#say("");
      return;
    }
    const key = keyName(event);
    if (isModifier(event)) return;
    if (!mayBind(key) || key === "Enter") { // Enter presses the dialog's own buttons
      this.#say(`${keySign(event.key)} belongs to the browser. Press another key.`);
      return;
    }
    try {
      this.keymap.rebind(action, [key]);
    } catch (error) {
      this.#say(`${error.message} Press another key.`);
      return;
    }
    this.chosen[action] = [key];
    save(this.name, this.chosen);
    this.#wait(null);
    this.#draw();
    this.#say(`“${this.#label(action)}” is now ${keySign(key)}.`);
    this.dialog.querySelector(`[data-rebind="${action}"]`).focus();
  }

  #reset() {
    this.keymap.rebindAll(Object.fromEntries(this.standard.map(({ action, keys }) => [action, keys])));
    this.chosen = {};
    save(this.name, {});
    this.#draw();
    this.#say("Every key is as it was at first.");
  }

  #say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }
}
