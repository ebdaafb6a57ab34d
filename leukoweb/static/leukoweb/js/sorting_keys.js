// The keys of the sorting board: the defaults, a person's own, and the dialog that changes them.

import { isModifier, Keymap, keySign, mayBind } from "./keymap.js";

export const LABEL = "label:";

/** @param {{name: string, title: string, key: string}[]} labels of the task's taxonomy */
export function boardKeys(labels) {
  return [
    ...labels.map(({ name, title, key }) => ({ action: LABEL + name, keys: [key], label: title, group: "Decide" })),
    { action: "cannot", keys: ["0"], label: "Cannot classify", group: "Decide" },
    { action: "exclude", keys: ["x"], label: "Exclude, with a reason", group: "Decide" },
    { action: "clear", keys: ["Delete", "Backspace"], label: "Undecided again", group: "Decide" },
    { action: "undo", keys: ["z", "Ctrl+z"], label: "Undo", group: "Decide" },
    { action: "redo", keys: ["Ctrl+Shift+z", "Ctrl+y"], label: "Redo", group: "Decide" },
    { action: "next", keys: ["ArrowRight", "f"], label: "Next image", group: "Move" },
    { action: "previous", keys: ["ArrowLeft", "d"], label: "Image before", group: "Move" },
    { action: "next-undecided", keys: ["n"], label: "Next undecided", group: "Move" },
    { action: "up", keys: ["ArrowUp"], label: "Row above", group: "Move" },
    { action: "down", keys: ["ArrowDown"], label: "Row below", group: "Move" },
    { action: "page-up", keys: ["PageUp"], label: "A screen up", group: "Move" },
    { action: "page-down", keys: ["PageDown"], label: "A screen down", group: "Move" },
    { action: "first", keys: ["Home"], label: "First image", group: "Move" },
    { action: "last", keys: ["End"], label: "Last image", group: "Move" },
    { action: "select", keys: [" "], label: "Choose this one too (gallery); tap: next undecided, hold: move the image with mouse or arrows (single)", group: "Choose several" },
    { action: "extend-next", keys: ["Shift+ArrowRight"], label: "Range to the right", group: "Choose several" },
    { action: "extend-previous", keys: ["Shift+ArrowLeft"], label: "Range to the left", group: "Choose several" },
    { action: "extend-down", keys: ["Shift+ArrowDown"], label: "Range to the row below", group: "Choose several" },
    { action: "extend-up", keys: ["Shift+ArrowUp"], label: "Range to the row above", group: "Choose several" },
    { action: "row", keys: ["r"], label: "The whole row", group: "Choose several" },
    { action: "select-all", keys: ["Ctrl+a"], label: "All that are shown", group: "Choose several" },
    { action: "invert", keys: ["i"], label: "The others instead", group: "Choose several" },
    { action: "select-none", keys: ["Escape"], label: "None", group: "Choose several" },
    { action: "view", keys: ["g", "Enter"], label: "Gallery or single image", group: "View" },
    { action: "advance", keys: ["a"], label: "Go on by itself after a decision", group: "View" },
    { action: "apply", keys: ["c"], label: "Apply the filter again", group: "View" },
    { action: "larger", keys: ["]"], label: "Larger tiles", group: "View" },
    { action: "smaller", keys: ["["], label: "Smaller tiles", group: "View" },
    { action: "zoom-in", keys: ["+", "="], label: "Closer (single)", group: "View" },
    { action: "zoom-out", keys: ["-"], label: "Further away (single)", group: "View" },
    { action: "fit", keys: ["s"], label: "Whole image (single)", group: "View" },
    { action: "full-screen", keys: ["e"], label: "Full screen on or off", group: "View" },
    { action: "help", keys: ["?", "F1"], label: "This sheet", group: "Help" },
  ];
}

/** The keymap of a board: the defaults and, where they still fit, the person's own keys. */
export function boardKeymap(labels, own = {}) {
  const keymap = new Keymap(boardKeys(labels), { numpad: true, digits: true });
  const wanted = keymap.entries.filter(({ action }) => Array.isArray(own[action]));
  const before = new Map(wanted.map(({ action, keys }) => [action, keys]));
  for (const { action } of wanted) keymap.rebind(action, []); // first all off, so that two may swap their keys
  for (const { action } of wanted) {
    for (const keys of [own[action], before.get(action)]) {
      const free = keys.filter((key) => typeof key === "string" && !keymap.owner(key));
      keymap.rebind(action, free);
      if (free.length) break;
    }
  }
  return keymap;
}

export class KeyDialog {
  #waiting = null;

  /** @param {HTMLDialogElement} dialog with [data-keys-list], [data-keys-message]  @param {(own: object) => void} save */
  constructor(dialog, keymap, save) {
    this.dialog = dialog;
    this.keymap = keymap;
    this.save = save;
    this.own = {};
    dialog.addEventListener("keydown", (event) => this.#press(event), true);
    dialog.addEventListener("close", () => { this.#waiting = null; });
  }

  open(own) {
    this.own = { ...own };
    this.#waiting = null;
    this.#say("");
    this.#draw();
    this.dialog.showModal();
  }

  #draw() {
    const list = this.dialog.querySelector("[data-keys-list]");
    list.replaceChildren(...this.keymap.entries.map(({ action, keys, label }) => {
      const row = document.createElement("li");
      const words = document.createElement("span");
      words.textContent = label;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn btn-sm btn-outline-secondary";
      button.dataset.rebind = action;
      button.textContent = this.#waiting === action ? "Press a key…" : keys.map(keySign).join(" or ") || "none";
      button.setAttribute("aria-label", `${label}: ${button.textContent}. Change`);
      button.addEventListener("click", () => {
        this.#waiting = action;
        this.#say(`Press the new key for “${label}”. Escape leaves it as it is.`);
        this.#draw();
        this.dialog.querySelector(`[data-rebind="${CSS.escape(action)}"]`).focus();
      });
      row.append(words, button);
      return row;
    }));
  }

  #press(event) {
    if (!this.#waiting) return;
    const key = this.keymap.nameOf(event);
    if (isModifier(event) || event.key === "Tab") return;
    event.preventDefault();
    event.stopPropagation();
    const action = this.#waiting;
    this.#waiting = null;
    if (event.key !== "Escape") this.#bind(action, key);
    else this.#say("");
    this.#draw();
    this.dialog.querySelector(`[data-rebind="${CSS.escape(action)}"]`).focus();
  }

  #bind(action, key) {
    const owner = key && this.keymap.owner(key);
    if (!mayBind(key)) this.#say("The browser keeps that key for itself. Choose another one.");
    else if (owner && owner.action !== action) this.#say(`${keySign(key)} already means “${owner.label}”. Choose another one.`);
    else {
      this.keymap.rebind(action, [key]);
      this.own[action] = [key];
      this.save(this.own);
      this.#say(`Saved: ${keySign(key)}.`);
    }
  }

  #say(text) {
    this.dialog.querySelector("[data-keys-message]").textContent = text;
  }
}
