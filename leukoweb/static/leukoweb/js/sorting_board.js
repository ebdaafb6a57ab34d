// The sorting board: one queue in two views, decided by keys, clicks or drops. Hooks: templates/cases/sorting_board.html.

import { bindActions } from "./sorting_actions.js";
import { Choices } from "./sorting_choices.js";
import { ActiveClock, timeLeft } from "./sorting_clock.js";
import { askReason } from "./sorting_dialogs.js";
import { Door } from "./sorting_door.js";
import { bindFilters } from "./sorting_filters.js";
import { Gallery } from "./sorting_gallery.js";
import { Hand } from "./sorting_hand.js";
import { History } from "./sorting_history.js";
import { boardKeymap, KeyDialog } from "./sorting_keys.js";
import { SortingModel } from "./sorting_model.js";
import { callAs, Outbox, signInMark } from "./sorting_outbox.js";
import { described, labelOf, Panel } from "./sorting_panel.js";
import { Single } from "./sorting_single.js";

const TILES = [120, 160, 200, 260, 340];
const LAPS = 25;
const PLACE_AFTER_MS = 1500;

export class Board {
  constructor(root, labels) {
    this.root = root;
    this.labels = new Map(labels.map((label) => [label.name, label]));
    this.urls = { queue: root.dataset.queueUrl, decisions: root.dataset.decisionsUrl, history: root.dataset.historyUrl, place: root.dataset.placeUrl };
    this.laps = [];
    this.spent = 0; // active milliseconds since the last decision, wherever they went
    this.pressedAt = 0;
    this.outbox = new Outbox({
      url: this.urls.decisions,
      owner: root.dataset.owner,
      onState: (outbox) => this.panel?.badge(outbox),
      onConflict: (conflicts) => this.choices.settle(conflicts),
      onRefused: (error) => this.choices.refused(error),
      onGone: (gone) => this.panel.announce(`${gone.length === 1 ? "One image belongs" : `${gone.length} images belong`} to a patient who was withdrawn meanwhile.`),
    });
    this.door = new Door(this.outbox, (options) => this.remember({ place: true, ...options }), (words) => this.panel.announce(words));
    this.choices = new Choices(this);
  }

  /** As the person who opened this page, whoever is signed in in another tab by now. */
  call(method, url, body, options) {
    return callAs(this.root.dataset.owner, method, url, body, options);
  }

  part(name) {
    return this.root.querySelector(`[data-${name}]`);
  }

  async start() {
    try {
      const [answer, pending] = await Promise.all([this.call("GET", this.urls.queue), this.outbox.open()]);
      this.#build(answer, pending);
    } catch (error) {
      this.part("loading").textContent = `The queue could not be loaded: ${error.message} ${error.hint ?? ""} Reload the page.`;
      return;
    }
    this.outbox.pump();
  }

  #build({ items, position, preferences }, pending) {
    this.model = new SortingModel(items);
    this.model.standOn(pending);
    this.preferences = { tile: 200, view: "gallery", advance: true, keymap: {}, ...preferences };
    this.history = new History(!this.model.nDecided, async () => (await this.call("GET", this.urls.history)).decisions);
    this.keymap = boardKeymap([...this.labels.values()], this.preferences.keymap);
    this.panel = new Panel(this.root, this.keymap, [...this.labels.values()], (action, event, dropped) => this.act(action, event, dropped));
    const describe = (item) => this.describe(item);
    this.gallery = new Gallery(this.part("gallery"), this.model, {
      thumb: (id) => this.address("thumb", id), describe,
      onPick: (index, event) => this.pick(index, event),
      onOpen: (index) => { this.look(index); this.model.focus = index; this.setView("single"); },
      onDrag: (index) => { this.model.drag(index); this.paint(); },
      onDragEnd: () => { this.model.dragEnd(); this.paint(); },
    });
    this.single = new Single(this.part("single"), this.model, {
      url: (id) => this.address("image", id), describe,
      onShown: () => { this.spent += this.clock.lap(); }, // nobody looked while it was loading
    });
    const tapped = (event) => { this.pressedAt = event.timeStamp; this.toUndecided(); };
    this.hand = new Hand(this.part("single-stage"), () => this.single.core, tapped);
    this.keyDialog = new KeyDialog(this.part("keys-dialog"), this.keymap, (own) => {
      this.preferences.keymap = own;
      this.panel.printKeys();
      this.remember();
    });
    bindActions(this);
    bindFilters(this.root, this.model.items, {
      onChange: (change) => this.refilter(change), leave: () => this.toStage(), press: (event) => this.keymap.handle(event, { anywhere: true }),
    });
    this.clock = new ActiveClock();
    window.addEventListener("online", () => { this.gallery.again(); this.paint(); }); // an image that failed comes now
    window.addEventListener("focus", () => this.door.ask());
    document.addEventListener("visibilitychange", () => document.hidden || this.door.ask());
    window.addEventListener("beforeunload", (event) => { if (this.outbox.nPending) event.preventDefault(); });
    const start = Math.max(0, Math.min(this.model.items.length - 1, position - 1));
    this.model.focus = this.model.items.length ? start : -1;
    this.model.anchor = this.model.focus;
    this.part("loading").hidden = true;
    this.part("body").hidden = false;
    this.gallery.setTile(TILES.includes(this.preferences.tile) ? this.preferences.tile : 200);
    this.setAdvance(this.preferences.advance);
    this.setView(this.preferences.view);
    this.panel.badge(this.outbox);
    if (this.outbox.unread) this.panel.announce("What waits in this browser from before could not be read. Reload the page to try again.");
    this.paint();
    this.root.dataset.ready = "";
  }

  address(kind, id) {
    return (kind === "thumb" ? this.root.dataset.thumbUrl : this.root.dataset.imageUrl).replace("00000000-0000-4000-8000-000000000000", id);
  }

  /** The keys belong to the images. */
  toStage() {
    this.part(this.view === "gallery" ? "gallery" : "single-stage").focus({ preventScroll: true });
  }

  /**
   * A button was pressed or something was dropped on it. A button that was clicked does not keep the keys: Space and Enter
   * would press it again. First of all, because a dialog gives them back to where they were when it opened.
   */
  act(action, event, dropped) {
    const clicked = !dropped && event.detail > 0; // pressed with Space or Enter: 0
    if (clicked) this.toStage();
    if (action === "keys") this.keyDialog.open(this.preferences.keymap);
    else if (action === "choose") this.choices.open();
    else {
      this.gallery.point = null;
      this.keymap.run(action, event);
    }
    const asks = document.querySelector("dialog[open]");
    if (!asks && (clicked || (!dropped && labelOf(action)))) this.toStage();
  }

  describe(item) {
    return described(item, this.labels);
  }

  /** What a decision is for: what was chosen, else what the pointer is on, else the focus. */
  targets() {
    if (this.view === "gallery" && this.model.selection.size) return { indexes: [...this.model.selection], how: "selection" };
    if (this.view === "gallery" && this.gallery.hovered >= 0) return { indexes: [this.gallery.hovered], how: "hover" };
    return { indexes: this.model.focus >= 0 ? [this.model.focus] : [], how: "focus" };
  }

  /** ``targets``: as they were when it was asked for, if that was before a dialog. */
  decide(verdict, { label = "", reason = "", targets = null } = {}) {
    const { indexes, how } = targets ?? this.targets();
    if (!indexes.length || !this.mayDecide() || !(targets || this.inSight(indexes))) return;
    const wishes = indexes.map((index) => ({ id: this.model.items[index].id, verdict, label, reason }));
    const before = this.model.items[indexes[0]];
    const fresh = !this.model.isDecided(before);
    this.say(wishes, indexes.length > 1 ? "bulk" : "key");
    this.model.selection.clear();
    if (how === "focus" && this.model.focus === indexes[0] && this.preferences.advance && verdict !== "cleared") {
      const next = fresh ? this.model.nextUndecided() : this.model.neighbour(1);
      if (next >= 0) this.focusOn(next);
      else this.paint();
    } else this.paint();
  }

  mayDecide() {
    return this.door.lets();
  }

  /** In the single view nothing is decided but what is on the screen; in the gallery nothing whose picture did not come. */
  inSight(indexes) {
    if (this.view !== "single") {
      const failed = indexes.filter((index) => this.gallery.failed(index)).length;
      if (failed) this.panel.announce(`${failed === 1 ? "One image" : `${failed} images`} could not be loaded. Nothing was decided. It is tried again; or look at it in the single view.`);
      return !failed;
    }
    if (this.single.shown === this.model.focus) return true;
    this.panel.announce("The image is not on the screen. Nothing was decided.", { aloud: true }); // and the stage shows why
    this.single.refuse();
    return false;
  }

  /** The active time since the last look was spent on this image. */
  look(index = this.model.focus) {
    const ms = this.clock.lap();
    this.spent += ms;
    this.model.look(ms, index);
  }

  /** Put verdicts on images, keep them for undo, hand them to the outbox. */
  say(wishes, origin) {
    const own = origin === "key" || origin === "bulk";
    if (!own) this.look(); // at the image in focus, which need not be the one that is undone
    const lap = own ? this.clock.lap() : 0;
    this.spent += lap;
    const made = this.model.decide(wishes, { origin, ms: lap / Math.max(1, wishes.length) });
    if (!made) return;
    this.history.said(made.decisions[0].key);
    if (own) {
      this.history.push(made.changes);
      this.laps = [...this.laps, this.spent / wishes.length].slice(-LAPS);
      this.spent = 0;
    }
    this.outbox.add(made.decisions);
  }

  async exclude() {
    const targets = this.targets();
    if (!targets.indexes.length || !this.mayDecide() || !this.inSight(targets.indexes)) return;
    const { point } = this.gallery;
    const { reason, moved } = await askReason(this.part("reason-dialog"), targets.indexes.length);
    this.gallery.point = moved ? null : point; // on its way to a reason the pointer came over images that nobody meant
    if (!reason) return;
    await this.door.asking; // the click on the reason may have brought the window back
    this.decide("exclude", { reason, targets });
  }

  async undo() {
    if (!this.mayDecide()) return;
    if (this.history.needsPast) {
      if (this.outbox.nPending) {
        this.panel.announce("Undoing what was decided before this window was opened needs the server. Try again when all is saved.");
        return;
      }
      try {
        if (await this.history.recall()) {
          this.panel.announce("You decided something meanwhile. Nothing was undone; undo again to take that back.");
          return;
        }
      } catch (error) {
        this.panel.announce(`What was decided earlier could not be loaded: ${error.message}`);
        return;
      }
    }
    this.#again(this.history.undo(), "undo", "There is nothing to undo.");
  }

  redo() {
    if (this.mayDecide()) this.#again(this.history.redo(), "redo", "There is nothing to redo.");
  }

  #again(wishes, origin, nothing) {
    if (!wishes) {
      this.panel.announce(nothing);
      return;
    }
    this.say(wishes, origin);
    const index = this.model.byId.get(wishes[0].id)?.index;
    if (index !== undefined && this.model.place.has(index)) this.focusOn(index);
    else this.paint();
    this.panel.announce(`${origin === "undo" ? "Undone" : "Done again"}: ${wishes.length === 1 ? "one image" : `${wishes.length} images`}.`, { aloud: true });
  }

  toUndecided() {
    const next = this.model.nextUndecided();
    if (next >= 0) this.focusOn(next);
    else this.panel.announce(this.model.nDecided === this.model.items.length ? "Every image is decided." : "No undecided image among those shown.");
  }

  pick(index, event) {
    if (event.shiftKey) this.model.selectRange(index);
    else if (event.ctrlKey || event.metaKey) this.model.toggle(index);
    else {
      this.look(index); // the pointer was on it
      this.model.selection.clear();
      this.model.focus = index;
      this.model.anchor = index;
    }
    this.paint();
    this.place();
  }

  selectRow() {
    const at = this.model.place.get(this.model.focus) ?? 0;
    const from = at - (at % this.gallery.columns);
    const row = this.model.shown.slice(from, from + this.gallery.columns);
    const all = row.every((index) => this.model.selection.has(index));
    for (const index of row) if (all) this.model.selection.delete(index); else this.model.selection.add(index);
    this.paint();
  }

  focusOn(index) {
    if (index === undefined || index < 0) return;
    if (index !== this.model.focus) this.look();
    this.model.focus = index;
    this.model.anchor = index;
    this.reveal();
    this.place();
  }

  reveal() {
    if (this.view === "gallery") this.gallery.reveal(this.model.focus);
    this.paint();
  }

  paint() {
    if (this.view === "gallery") this.gallery.paintAll();
    else this.single.show({ pressedAt: this.pressedAt });
    this.single.describe();
    this.panel.shown(this.model);
    this.panel.progress(this.model, timeLeft(this.model.items.length - this.model.nDecided, this.laps));
    this.part("action-undo")?.toggleAttribute("disabled", !this.history.canUndo);
    this.part("action-redo")?.toggleAttribute("disabled", !this.history.canRedo);
  }

  refilter(change) {
    this.look();
    this.model.refilter(change);
    this.gallery.layout();
    this.gallery.reveal(this.model.focus);
    this.paint();
  }

  resize(step) {
    const at = TILES.indexOf(this.gallery.tile);
    const size = TILES[Math.max(0, Math.min(TILES.length - 1, at + step))];
    this.gallery.setTile(size);
    this.preferences.tile = size;
    this.remember();
    this.paint();
  }

  setAdvance(on) {
    this.preferences.advance = Boolean(on);
    this.panel.pressed("advance", on);
  }

  setView(view) {
    const changed = this.view !== undefined && this.view !== view;
    this.view = view === "single" ? "single" : "gallery";
    this.part("gallery").hidden = this.view !== "gallery";
    this.part("single").hidden = this.view !== "single";
    this.panel.pressed("view", this.view === "single");
    this.preferences.view = this.view;
    if (this.view === "gallery") {
      this.gallery.layout();
      this.gallery.reveal(this.model.focus);
      this.part("gallery").focus({ preventScroll: true });
    }
    this.paint();
    if (changed) this.remember();
  }

  place() {
    clearTimeout(this.placeTimer);
    this.placeTimer = setTimeout(() => this.remember({ place: true }), PLACE_AFTER_MS);
  }

  /** Where the person is and how they like the board. Not worth a message if it fails, unless the person is another one now. */
  async remember({ place = false, timeout_ms = 0 } = {}) {
    const mark = signInMark();
    const body = place ? { position: this.model.focus + 1 } : { preferences: this.preferences };
    try {
      await this.call("PUT", this.urls.place, body, { timeout_ms });
      this.outbox.heard(null, mark);
      this.gallery.again();
    } catch (error) {
      this.outbox.heard(error);
    }
  }
}

export function init(root) {
  for (const element of root.querySelectorAll("[data-board]")) {
    const board = new Board(element, JSON.parse(root.getElementById("board-labels").textContent));
    element.board = board; // for tests
    board.start();
  }
}

init(document);
