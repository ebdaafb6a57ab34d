// The field viewer of a slide: filmstrip, keys, zoom, display adjustment, surround. Hooks: templates/cases/viewer.html.

import { Keymap } from "./keymap.js";
import { KeySheet, loadKeys } from "./keymap_rebind.js";
import { Adjuster } from "./viewer_adjust.js";
import { Compare } from "./viewer_compare.js";
import { createViewer, Prefetcher } from "./viewer_core.js";
import { ScaleBar } from "./viewer_scale.js";
import { Filmstrip } from "./viewer_strip.js";
import { listenToSwipes } from "./viewer_swipe.js";

export const VIEWER_KEYS = [
  { action: "next", keys: ["ArrowRight", "f"], label: "Next field", group: "Fields" },
  { action: "previous", keys: ["ArrowLeft", "d"], label: "Field before", group: "Fields" },
  { action: "first", keys: ["Shift+Home"], label: "First field", group: "Fields" },
  { action: "last", keys: ["Shift+End"], label: "Last field", group: "Fields" },
  { action: "fit", keys: ["Home", "0"], label: "Whole field", group: "Zoom" },
  { action: "actual", keys: ["1"], label: "One image pixel on one screen pixel", group: "Zoom" },
  { action: "zoom-in", keys: ["+", "="], label: "Closer", group: "Zoom" },
  { action: "zoom-out", keys: ["-"], label: "Further away", group: "Zoom" },
  { action: "keep-view", keys: ["z"], label: "Keep place and zoom between fields", group: "Zoom" },
  { action: "compare", keys: ["v"], label: "Keep this field beside the others, or stop comparing", group: "Compare" },
  { action: "link", keys: ["l"], label: "Move both fields together, or each by itself", group: "Compare" },
  { action: "look-left", keys: ["Shift+ArrowLeft"], label: "Look left", group: "Move" },
  { action: "look-right", keys: ["Shift+ArrowRight"], label: "Look right", group: "Move" },
  { action: "look-up", keys: ["ArrowUp", "Shift+ArrowUp"], label: "Look up", group: "Move" },
  { action: "look-down", keys: ["ArrowDown", "Shift+ArrowDown"], label: "Look down", group: "Move" },
  { action: "brighter", keys: ["]"], label: "Brighter", group: "Display" },
  { action: "darker", keys: ["["], label: "Darker", group: "Display" },
  { action: "contrast-up", keys: ["}"], label: "More contrast", group: "Display" },
  { action: "contrast-down", keys: ["{"], label: "Less contrast", group: "Display" },
  { action: "reset-display", keys: ["\\"], label: "As it is", group: "Display" },
  { action: "surround", keys: ["s"], label: "Change the surround", group: "Display" },
  { action: "navigator", keys: ["n"], label: "Small overview on or off", group: "Display" },
  { action: "full-screen", keys: ["e"], label: "Full screen on or off", group: "Display" },
  { action: "help", keys: ["?", "F1"], label: "This sheet", group: "Help" },
];

const SURROUNDS = ["dark", "light", "neutral"];
const AHEAD = 3;

/** Small memory of the browser; without storage the choice lasts for the page. */
function memory(storage) {
  return {
    get(key, otherwise) {
      try {
        return JSON.parse(storage().getItem(`leukoweb.viewer.${key}`)) ?? otherwise;
      } catch {
        return otherwise;
      }
    },
    set(key, value) {
      try {
        storage().setItem(`leukoweb.viewer.${key}`, JSON.stringify(value));
      } catch {
        // storage is full or switched off
      }
    },
  };
}
const lasting = memory(() => window.localStorage);
const fleeting = memory(() => window.sessionStorage);

export class SlideViewer {
  constructor(root) {
    this.root = root;
    this.images = [];
    this.index = -1;
    this.seenKey = `seen:${root.dataset.imagesUrl}`;
    this.seen = new Set(fleeting.get(this.seenKey, []));
    this.core = createViewer(this.part("stage"), { navigator: true });
    this.scale = new ScaleBar(this.part("scale"), Number.parseFloat(root.dataset.pixelSizeUm));
    this.strip = new Filmstrip(this.part("strip"), (index) => this.show(index));
    this.compare = new Compare(root.querySelector(".viewer-stage-wrap"), this.core);
    this.adjuster = new Adjuster(root, (values) => {
      this.core.setAdjust(values);
      this.compare.setAdjust(values);
    });
    this.prefetcher = new Prefetcher(AHEAD + 3);
    this.keymap = new Keymap(VIEWER_KEYS);
    loadKeys(this.keymap, "viewer");
    this.sheet = new KeySheet(this.part("help"), this.keymap, "viewer", VIEWER_KEYS);
    this.bindActions();
    listenToSwipes(this.part("stage"), {
      mayStart: () => this.core.isWhole,
      next: () => this.show(this.index + 1),
      previous: () => this.show(this.index - 1),
    });
    this.setSurround(lasting.get("surround", null));
    this.setKeepView(lasting.get("keep-view", false));
    this.core.onChange(() => this.showScale());
  }

  part(name) {
    return this.root.querySelector(`[data-viewer-${name}]`);
  }

  bindActions() {
    const look = (across, down) => () => this.core.panBy(across, down);
    const actions = {
      next: () => this.show(this.index + 1),
      previous: () => this.show(this.index - 1),
      first: () => this.show(0),
      last: () => this.show(this.images.length - 1),
      fit: () => this.core.fit(),
      actual: () => this.core.actualSize(),
      "zoom-in": () => this.core.zoomBy(1.5),
      "zoom-out": () => this.core.zoomBy(1 / 1.5),
      "keep-view": () => this.setKeepView(!this.keepView),
      "look-left": look(-0.25, 0),
      "look-right": look(0.25, 0),
      "look-up": look(0, -0.25),
      "look-down": look(0, 0.25),
      brighter: () => this.adjuster.step("brightness", 1),
      darker: () => this.adjuster.step("brightness", -1),
      "contrast-up": () => this.adjuster.step("contrast", 1),
      "contrast-down": () => this.adjuster.step("contrast", -1),
      "reset-display": () => this.adjuster.reset(),
      surround: () => this.setSurround(SURROUNDS[(SURROUNDS.indexOf(this.surround) + 1) % SURROUNDS.length]),
      navigator: () => this.toggleNavigator(),
      "full-screen": () => this.toggleFullScreen(),
      compare: () => this.toggleCompare(),
      link: () => this.setLinked(!this.compare.linked),
      help: () => this.sheet.open(),
    };
    for (const [action, run] of Object.entries(actions)) {
      this.keymap.on(action, (event) => {
        this.compare.lead();
        return run(event);
      });
    }
    this.keymap.listenToButtons(this.root);
    for (const button of this.root.querySelectorAll("[data-surround-choice]")) {
      button.addEventListener("click", () => this.setSurround(button.dataset.surroundChoice));
    }
    this.keymap.attach(document);
    this.closeOnLeave(this.root.querySelector(".viewer-display"));
  }

  /** The panel of sliders goes away with a click elsewhere or the Escape key. */
  closeOnLeave(panel) {
    document.addEventListener("pointerdown", (event) => {
      if (!panel.contains(event.target)) panel.open = false;
    });
    panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      panel.open = false;
      panel.querySelector("summary").focus();
    });
  }

  /** Fetch the list and show the first field, or the one that the address or the page names. */
  async start() {
    try {
      const response = await fetch(this.root.dataset.imagesUrl, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      this.images = await response.json();
    } catch (error) {
      this.say(`The list of fields could not be loaded: ${error.message}. Reload the page.`);
      return;
    }
    if (!this.images.length) {
      this.say("This slide has no fields yet.");
      return;
    }
    this.strip.fill(this.images, this.seen);
    const wanted = [window.location.hash.slice(1), this.root.dataset.start];
    const found = wanted.map((id) => this.images.findIndex((image) => image.id === id)).find((index) => index >= 0);
    await this.show(found ?? 0);
  }

  /** Show the field at ``index`` of the list; beyond either end nothing happens. */
  async show(index) {
    const image = this.images[index];
    if (!image || (index === this.index && !this.failed)) return;
    this.index = index;
    this.failed = false;
    const place = this.placeInWords(index);
    this.part("position").textContent = place;
    this.core.label = place;
    this.compare.tags.main.textContent = `Field ${image.position}`;
    const remove = this.root.querySelector("[data-remove]");
    if (remove) {
      remove.href = image.url.replace(/\/$/, "/remove/");
      remove.setAttribute("aria-label", `Remove field ${image.position}`);
      remove.hidden = false;
    }
    this.strip.setCurrent(index);
    for (const [action, at] of [["previous", 0], ["next", this.images.length - 1]]) {
      for (const button of this.root.querySelectorAll(`[data-action="${action}"]`)) {
        button.setAttribute("aria-disabled", String(index === at));
      }
    }
    try {
      window.history.replaceState(null, "", `#${image.id}`);
    } catch { /* Browsers count these calls, and a key that is held makes many: the address lags, the image does not. */ }
    this.part("stage").setAttribute("aria-busy", "true");
    const late = window.setTimeout(() => this.say(`Loading field ${image.position}`), 300);
    try {
      if (await this.core.open(image.url, { keepView: this.keepView })) this.arrived(index);
    } catch {
      if (this.index === index) {
        this.failed = true;
        this.part("stage").setAttribute("aria-busy", "false");
        this.say(`Field ${image.position} could not be loaded. Go on, or click it in the strip to try again.`);
      }
    } finally {
      window.clearTimeout(late);
    }
  }

  /** Numbers stay when a field is removed: then the place is told beside the number. */
  placeInWords(index) {
    const { position } = this.images[index];
    const count = this.images.length;
    return this.images[count - 1].position === count ? `Field ${position} of ${count}` : `Field ${position}, ${index + 1} of ${count}`;
  }

  arrived(index) {
    const image = this.images[index];
    if (index === this.index) {
      this.say("");
      this.part("stage").setAttribute("aria-busy", "false");
    }
    this.seen.add(image.id);
    fleeting.set(this.seenKey, [...this.seen]);
    this.strip.markSeen(index);
    const seen = this.images.filter(({ id }) => this.seen.has(id)).length;
    this.part("seen").textContent = seen === this.images.length ? "All seen" : `${seen} seen`;
    this.part("notes").textContent = (image.notes ?? []).map(({ message }) => message).join(" ");
    this.prefetcher.fetch(this.images.slice(index + 1, index + 1 + AHEAD).map(({ url }) => url));
    this.showScale();
  }

  showScale() {
    const scale = this.core.imageScale;
    this.scale.update(scale);
    this.part("zoom").textContent = scale ? `${Math.round(scale * 100)} %` : "";
  }

  say(text) {
    const message = this.part("message");
    message.textContent = text;
    message.hidden = !text;
  }

  setSurround(choice) {
    const page = document.documentElement;
    const themed = page.dataset.surround ?? page.dataset.bsTheme;
    this.surround = SURROUNDS.includes(choice) ? choice : themed;
    if (choice) lasting.set("surround", choice);
    this.root.dataset.viewerSurround = this.surround;
    for (const button of this.root.querySelectorAll("[data-surround-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.surroundChoice === this.surround));
    }
  }

  setKeepView(keep) {
    this.keepView = Boolean(keep);
    lasting.set("keep-view", this.keepView);
    this.root.querySelector("[data-action='keep-view']").setAttribute("aria-pressed", String(this.keepView));
  }

  toggleNavigator() {
    this.navigatorHidden = !this.navigatorHidden;
    this.core.navigatorShown = !this.navigatorHidden;
  }

  async toggleFullScreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.root.requestFullscreen?.();
  }

  async toggleCompare() {
    const image = this.images[this.index];
    const opening = !this.compare.open && Boolean(image);
    for (const button of this.root.querySelectorAll("[data-action='compare']")) button.setAttribute("aria-pressed", String(opening));
    for (const button of this.root.querySelectorAll("[data-action='link']")) button.hidden = !opening;
    if (!opening) {
      this.compare.stop();
      return;
    }
    this.setLinked(true);
    try {
      await this.compare.start(image);
    } catch {
      this.say(`Field ${image.position} could not be loaded.`);
    }
  }

  setLinked(linked) {
    this.compare.setLinked(linked);
    for (const button of this.root.querySelectorAll("[data-action='link']")) button.setAttribute("aria-pressed", String(linked));
  }
}

export function init(root) {
  for (const element of root.querySelectorAll("[data-viewer]")) new SlideViewer(element).start();
}

init(document);
