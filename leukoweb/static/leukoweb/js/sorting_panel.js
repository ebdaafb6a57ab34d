// What stands around the images: the class buttons (which are bins to drop on), counts, progress, and the badge that says
// what is saved.

import { keySign } from "./keymap.js";
import { badgeWords } from "./sorting_outbox.js";
import { named } from "./sorting_filters.js";
import { LABEL } from "./sorting_keys.js";

const SAID_MS = 8000;

export class Panel {
  #announced = "";
  #fading = 0;

  /** @param {HTMLElement} root of the board  @param {object} keymap  @param {(action: string, event: Event, dropped: boolean) => void} run */
  constructor(root, keymap, labels, run) {
    this.root = root;
    this.keymap = keymap;
    this.labels = labels;
    for (const button of root.querySelectorAll("[data-action]")) {
      button.addEventListener("click", (event) => run(button.dataset.action, event, false));
    }
    for (const bin of root.querySelectorAll("[data-bin]")) this.#bindBin(bin, run);
    for (const { name, colour } of labels) {
      root.querySelector(`[data-bin="${CSS.escape(name)}"]`)?.style.setProperty("--class-color", colour);
    }
    this.printKeys();
  }

  #bindBin(bin, run) {
    const lit = (on) => bin.classList.toggle("is-over", on);
    bin.addEventListener("dragover", (event) => {
      event.preventDefault();
      event.dataTransfer.dropEffect = "move";
      lit(true);
    });
    bin.addEventListener("dragleave", () => lit(false));
    bin.addEventListener("drop", (event) => {
      event.preventDefault();
      lit(false);
      run(bin.dataset.action, event, true);
    });
  }

  /** The key of each action on its button, as it is bound now. */
  printKeys() {
    for (const cap of this.root.querySelectorAll("[data-key-of]")) {
      const entry = this.keymap.entries.find(({ action }) => action === cap.dataset.keyOf);
      cap.textContent = entry?.keys.length ? keySign(entry.keys[0]) : "";
    }
  }

  /** @param {object} model  @param {string} left words about the time that is left */
  progress(model, left) {
    const { nDecided } = model;
    const total = model.items.length;
    const bar = this.root.querySelector("[data-progress-bar]");
    bar.max = Math.max(1, total);
    bar.value = nDecided;
    const words = nDecided === total ? `All ${total} decided` : `${nDecided} of ${total}${left ? `, ${left}` : ""}`;
    this.root.querySelector("[data-progress-words]").textContent = words;
    const counts = model.counts();
    for (const place of this.root.querySelectorAll("[data-count-of]")) {
      place.textContent = counts.get(place.dataset.countOf) ?? 0;
    }
  }

  shown(model) {
    const { shown, items, selection } = model;
    const chosen = selection.size ? `, ${selection.size} chosen` : "";
    this.root.querySelector("[data-shown]").textContent = (
      shown.length === items.length ? `${items.length} images${chosen}` : `${shown.length} of ${items.length} images${chosen}`
    );
    this.root.querySelector("[data-nothing]").hidden = shown.length > 0;
  }

  /** The badge tells how many decisions the server does not have, at every moment; only changes of state are read out. */
  badge(outbox) {
    const badge = this.root.querySelector("[data-badge]");
    badge.textContent = badgeWords(outbox);
    badge.dataset.pending = outbox.nPending;
    badge.dataset.state = outbox.state;
    const state = outbox.isOthers ? "others" : outbox.state;
    badge.className = `status ${{ saved: "status-good", sending: "status-running" }[state] ?? "status-warn"}`;
    this.root.querySelector("[data-sign-in]").hidden = state !== "signed-out" && outbox.others !== "gone";
    this.root.querySelector("[data-sign-out]").hidden = state !== "others";
    this.root.querySelector("[data-choose]").hidden = !["conflict", "refused", "forbidden"].includes(state);
    if (state !== this.#announced) {
      const quiet = state === "sending" || (state === "saved" && ["", "sending"].includes(this.#announced));
      if (!quiet) this.announce(badgeWords(outbox), { aloud: true });
      this.#announced = state;
    }
  }

  /** A line over the images that goes by itself; ``aloud``: for screen readers alone, because it can be seen elsewhere. */
  announce(text, { aloud = false } = {}) {
    const line = this.root.querySelector("[data-announce]");
    clearTimeout(this.#fading);
    line.textContent = text;
    line.classList.toggle("visually-hidden", aloud);
    if (!aloud) this.#fading = setTimeout(() => line.classList.add("visually-hidden"), SAID_MS);
  }

  pressed(action, on) {
    this.root.querySelector(`[data-action="${action}"]`)?.setAttribute("aria-pressed", String(on));
  }
}

/** The action behind a class button: ``label:AML``. */
export function labelOf(action) {
  return action.startsWith(LABEL) ? action.slice(LABEL.length) : null;
}

/** How an image is written: letters and colour of its class, words, where it is from. ``labels``: name -> class. */
export function described(item, labels) {
  const label = labels.get(item.label);
  const [code, words] = {
    label: [label?.code, label?.title], cannot_classify: ["?", "Cannot classify"],
    exclude: ["OUT", `Excluded: ${item.reason}`],
  }[item.verdict] ?? ["", "Undecided"];
  const said = item.said.map(([who, verdict, name]) => `${who}: ${labels.get(name)?.title ?? verdict.replace("_", " ")}`);
  return {
    code: code ?? item.label, words: words ?? item.label, colour: label?.colour ?? "", out: item.verdict === "exclude",
    where: `${named("slide", item.slide)}`, said: said.join(" · "),
  };
}
