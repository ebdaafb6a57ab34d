// One table of keys per page. Toolbar buttons and keys run the same actions, the help sheet is drawn from the table,
// and later parts (sorting, reading) rebind entries without touching the code that acts on them.

/** Where letters are text and arrows move a caret or a slider, keys belong to the field. */
export function isTyping(target) {
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog:not([open])")) return false; // just closed: its field keeps the focus until the next frame
  if (target.closest("[contenteditable=''], [contenteditable='true'], textarea, select")) return true;
  const input = target.closest("input");
  return Boolean(input) && !["checkbox", "radio", "button", "submit", "reset"].includes(input.type);
}

const OTHER_SCRIPT = /^(?!\p{Script=Latin})\p{L}$/u; // Greek, Cyrillic, Hebrew: there a letter key goes by its place

/** A digit of the main row by its place, without Shift, also where the keyboard prints another sign there (AZERTY, Czech). */
export function digitByPlace(event) {
  const digit = /^Digit([0-9])$/.exec(event.code ?? "")?.[1];
  return digit && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey && !event.getModifierState?.("AltGraph") ? digit : null;
}

/**
 * "f", "]", "ArrowRight", "Shift+ArrowRight", "Ctrl+a", "Ctrl+Shift+z" (Cmd counts as Ctrl); null for Alt shortcuts, which
 * belong to the browser or the system. With ``numpad`` the keys of the number pad are digits whatever NumLock says.
 */
export function keyName(event, { numpad = false } = {}) {
  const pad = numpad && /^Numpad(\d)$/.exec(event.code ?? "");
  if (pad && !event.ctrlKey && !event.altKey && !event.metaKey) return pad[1];
  const printable = event.key.length === 1;
  // Brackets need AltGr or Option on many keyboards: then the modifier is part of typing the sign.
  const typed = event.getModifierState?.("AltGraph") || (printable && event.altKey && !event.ctrlKey && !/[a-z0-9]/i.test(event.key));
  if (event.altKey && !typed) return null;
  const place = printable && !typed && OTHER_SCRIPT.test(event.key) && /^Key([A-Z])$/.exec(event.code ?? "");
  const sign = printable ? (place ? place[1] : event.key).toLowerCase() : event.key;
  if ((event.ctrlKey || event.metaKey) && !typed) return `Ctrl+${event.shiftKey ? "Shift+" : ""}${sign}`;
  if (printable) return sign;
  return event.shiftKey && event.key !== "Shift" ? `Shift+${event.key}` : event.key;
}

const SIGNS = {
  ArrowRight: "→", ArrowLeft: "←", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", Escape: "Esc", "-": "−",
  Delete: "Del", Backspace: "⌫", PageUp: "Page ↑", PageDown: "Page ↓",
};

/** How a key is printed on the help sheet. */
export function keySign(name) {
  if (name.startsWith("Ctrl+")) return `Ctrl ${keySign(name.slice(5))}`;
  if (name.startsWith("Shift+")) return `Shift ${keySign(name.slice(6))}`;
  return SIGNS[name] ?? (name.length === 1 ? name.toUpperCase() : name);
}

/** Space and Enter press the button that has the focus; they are not ours there. */
function pressesSomething(name, target) {
  return (name === " " || name === "Enter") && target instanceof Element
    && Boolean(target.closest("button, a[href], summary, input, [role=button]"));
}

export class Keymap {
  #entries = new Map();
  #options;

  /**
   * @param {{action: string, keys: string[], label: string, group: string}[]} entries in the order of the sheet
   * @param {{numpad?: boolean, digits?: boolean}} options digits: those of the main row go by their place
   */
  constructor(entries, options = {}) {
    this.#options = options;
    for (const entry of entries) this.#entries.set(entry.action, { ...entry, run: null });
    this.#check();
  }

  /** Say what an action does. An unknown action is a mistake in the program, so it throws. */
  on(action, run) {
    this.#entry(action).run = run;
    return this;
  }

  /** Say what many actions do: {action: run}. */
  onAll(actions) {
    for (const [action, run] of Object.entries(actions)) this.on(action, run);
    return this;
  }

  /** Every [data-action] under ``root`` runs its action when it is clicked; ``before(event, button)`` comes first. */
  listenToButtons(root, before = null) {
    for (const button of root.querySelectorAll("[data-action]")) {
      button.addEventListener("click", (event) => {
        before?.(event, button);
        this.run(button.dataset.action, event);
      });
    }
    return this;
  }

  /** Give an action other keys. Throws if another action has one of them. */
  rebind(action, keys) {
    const before = this.#entry(action).keys;
    this.#entry(action).keys = [...keys];
    try {
      this.#check();
    } catch (error) {
      this.#entry(action).keys = before;
      throw error;
    }
    return this;
  }

  /** Give many actions their keys at once, so that two can change places. Throws and changes nothing on a clash. */
  rebindAll(keysOf) {
    const before = new Map([...this.#entries].map(([action, { keys }]) => [action, keys]));
    for (const [action, keys] of Object.entries(keysOf)) this.#entry(action).keys = [...keys];
    try {
      this.#check();
    } catch (error) {
      for (const [action, keys] of before) this.#entry(action).keys = keys;
      throw error;
    }
    return this;
  }

  /** Run an action by name, as a toolbar button does. */
  run(action, event) {
    this.#entry(action).run?.(event);
  }

  /** The name of a key in this table. By its place a digit comes before the sign that is printed there, unless only that one is bound. */
  nameOf(event) {
    const typed = keyName(event, this.#options);
    const place = this.#options.digits ? digitByPlace(event) : null;
    return place !== null && (this.owner(place) || !this.owner(typed)) ? place : typed;
  }

  /** ``anywhere``: also where one types. @returns {boolean} whether the key meant something here */
  handle(event, { anywhere = false } = {}) {
    if (event.defaultPrevented || (isTyping(event.target) && !anywhere)) return false;
    if (document.querySelector("dialog[open]")) return false;
    const name = this.nameOf(event);
    if (pressesSomething(name, event.target)) return false;
    for (const entry of this.#entries.values()) {
      if (name !== null && entry.run && entry.keys.includes(name)) {
        event.preventDefault();
        entry.run(event);
        return true;
      }
    }
    return false;
  }

  /** Listen on ``target``; the returned function stops listening. */
  attach(target = document) {
    const listener = (event) => this.handle(event);
    target.addEventListener("keydown", listener);
    return () => target.removeEventListener("keydown", listener);
  }

  /** The entries in the order of the sheet: {action, keys, label, group}. */
  get entries() {
    return [...this.#entries.values()];
  }

  /** The entry that has this key, or undefined. */
  owner(key) {
    return this.entries.find(({ keys }) => keys.includes(key));
  }

  /** Group name -> entries that do something, for the help sheet. */
  groups() {
    const groups = new Map();
    for (const entry of this.#entries.values()) {
      if (!entry.run || !entry.keys.length) continue;
      if (!groups.has(entry.group)) groups.set(entry.group, []);
      groups.get(entry.group).push(entry);
    }
    return groups;
  }

  #entry(action) {
    const entry = this.#entries.get(action);
    if (!entry) throw new Error(`No action ${action} in this keymap.`);
    return entry;
  }

  #check() {
    const owner = new Map();
    for (const { action, keys } of this.#entries.values()) {
      for (const key of keys) {
        if (owner.has(key)) throw new Error(`Key ${key} is bound to ${owner.get(key)} and to ${action}.`);
        owner.set(key, action);
      }
    }
  }
}

const MODIFIERS = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock"]);
const BROWSERS_OWN = new Set([
  "Tab", "Shift+Tab", "F5", "F6", "F11", "F12", "Ctrl+w", "Ctrl+t", "Ctrl+n", "Ctrl+r", "Ctrl+l", "Ctrl+q", "Ctrl+p",
  "Ctrl+Tab", "Ctrl+Shift+t", "Ctrl+Shift+n", "Ctrl+Shift+w", "Dead",
]);

/** On the way to a combination: not a key of its own. */
export function isModifier(event) {
  return MODIFIERS.has(event.key);
}

/** Whether an action may have this key; the browser or the system keeps the others. */
export function mayBind(name) {
  return name !== null && !BROWSERS_OWN.has(name) && !MODIFIERS.has(name);
}

/** Open a help dialog with the sheet of a keymap in its [data-sheet]. */
export function openSheet(dialog, keymap) {
  renderSheet(dialog.querySelector("[data-sheet]"), keymap);
  dialog.showModal();
}

/** Draw the sheet into ``container`` (a list per group). ``beside(entry)`` may give an element for each line. */
export function renderSheet(container, keymap, beside = null) {
  container.replaceChildren();
  for (const [group, entries] of keymap.groups()) {
    const section = document.createElement("section");
    const title = document.createElement("h3");
    title.textContent = group;
    const list = document.createElement("dl");
    for (const entry of entries) {
      const { keys, label } = entry;
      const term = document.createElement("dt");
      for (const key of keys) {
        const cap = document.createElement("kbd");
        cap.textContent = keySign(key);
        term.append(cap, " ");
      }
      const meaning = document.createElement("dd");
      meaning.textContent = label;
      if (beside) meaning.append(" ", beside(entry));
      list.append(term, meaning);
    }
    section.append(title, list);
    container.append(section);
  }
}
