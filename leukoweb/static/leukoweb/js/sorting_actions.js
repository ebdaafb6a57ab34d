// What each action of the sorting board does, for keys and buttons alike.

import { openSheet } from "./keymap.js";
import { LABEL } from "./sorting_keys.js";

/** Give every action of the board's keymap its deed, and listen to the keys. */
export function bindActions(board) {
  const move = (step) => () => board.focusOn(board.model.neighbour(step));
  const rows = (count) => () => board.focusOn(board.model.neighbour(count * (board.view === "gallery" ? board.gallery.columns : 1)));
  const extend = (step) => () => { board.model.selectRange(board.model.neighbour(step())); board.reveal(); };
  const columns = () => board.gallery.columns;
  const actions = {
    cannot: () => board.decide("cannot_classify"),
    exclude: (event) => board.exclude(event),
    clear: () => board.decide("cleared"),
    undo: () => board.undo(), redo: () => board.redo(),
    next: move(1), previous: move(-1),
    "next-undecided": () => board.toUndecided(),
    up: rows(-1), down: rows(1),
    "page-up": () => rows(-board.gallery.rowsInSight)(), "page-down": () => rows(board.gallery.rowsInSight)(),
    first: () => board.focusOn(board.model.shown[0]), last: () => board.focusOn(board.model.shown.at(-1)),
    select: (event) => {
      if (board.view === "single") board.hand.hold(event); // a key only: no button chooses
      else if (board.model.focus >= 0) { board.model.toggle(board.model.focus); board.paint(); }
    },
    "extend-next": extend(() => 1), "extend-previous": extend(() => -1),
    "extend-down": extend(columns), "extend-up": extend(() => -columns()),
    row: () => board.selectRow(),
    "select-all": () => { board.model.selectAll(); board.paint(); },
    invert: () => { board.model.invert(); board.paint(); },
    "select-none": () => { board.model.selection.clear(); board.paint(); },
    view: () => board.setView(board.view === "single" ? "gallery" : "single"),
    advance: () => { board.setAdvance(!board.preferences.advance); board.remember(); },
    apply: () => board.refilter({}),
    larger: () => board.resize(1), smaller: () => board.resize(-1),
    "zoom-in": () => board.single.core?.zoomBy(1.5), "zoom-out": () => board.single.core?.zoomBy(1 / 1.5),
    fit: () => board.single.core?.fit(),
    "full-screen": () => (document.fullscreenElement ? document.exitFullscreen() : board.root.requestFullscreen?.()),
    help: () => openSheet(board.part("help-dialog"), board.keymap),
  };
  for (const name of board.labels.keys()) actions[LABEL + name] = () => board.decide("label", { label: name });
  const meant = () => board.targets().indexes.join();
  for (const [action, run] of Object.entries(actions)) {
    const decides = ["label", "cannot", "exclude", "clear"].includes(action.split(":")[0]);
    const deed = decides || action === "undo" || action === "redo" ? (event) => board.door.whenKnown(decides ? meant : () => "", () => run(event)) : run;
    board.keymap.on(action, (event) => {
      const key = event instanceof KeyboardEvent;
      if (key && board.hand.arrow(event)) return;
      if (key && event.repeat && decides) return; // a key that is held down must not sort one image after the other
      board.pressedAt = key ? event.timeStamp : 0; // a drop and a click are no key presses
      if (key && !decides) board.gallery.point = null; // the keyboard leads now
      deed(event);
    });
  }
  board.keymap.attach(document);
}
