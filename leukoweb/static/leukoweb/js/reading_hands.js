// What keys, buttons and sliders do on the reading board.

import { digitByPlace, Keymap, isTyping, openSheet } from "./keymap.js";
import { DESK_KEYS, shiftedDigit } from "./reading_keys.js";

/** Everything that hands do on the board. @param {object} board  A ReadingBoard  @returns {Keymap} */
export function bindHands(board) {
  const { stage, form } = board;
  const before = () => board.go(board.state.cases.find(({ n }) => n === (board.case?.n ?? 0) - 1));
  const look = (across, down) => () => stage.core.panBy(across, down);
  const step = (name, by) => () => board.adjuster?.step(name, by);
  const actions = {
    next: () => stage.show(stage.index + 1), previous: () => stage.show(stage.index - 1), unseen: () => stage.nextUnseen(),
    first: () => stage.show(0), last: () => stage.show(stage.fields.length - 1),
    fit: () => stage.core.fit(), "zoom-in": () => stage.core.zoomBy(1.5), "zoom-out": () => stage.core.zoomBy(1 / 1.5),
    "keep-view": () => board.keepView(), compare: () => board.compare(),
    "look-left": look(-0.25, 0), "look-right": look(0.25, 0), "look-up": look(0, -0.25), "look-down": look(0, 0.25),
    brighter: step("brightness", 1), darker: step("brightness", -1), "contrast-up": step("contrast", 1),
    "contrast-down": step("contrast", -1), "reset-display": () => board.adjuster?.reset(), surround: () => board.surround(),
    cannot: () => form.cannotDecide(), clear: () => form.clear(), recognised: () => form.toggleRecognised(),
    comment: () => form.off || board.one("[data-comment]").focus(), "key-image": () => board.toggleKey(),
    "case-next": () => board.goNext(), "case-before": before, seal: () => board.toSeal(),
    pause: () => board.rest("paused"), instructions: () => board.rest("instructions"),
    help: () => openSheet(board.one("[data-help]"), keymap),
  };
  const { answers, navigation } = board.state;
  const display = ["brighter", "darker", "contrast-up", "contrast-down", "reset-display"];
  const unasked = [ // what the protocol does not ask for has no key, and no line on the sheet of keys
    ...(answers.cannot_decide ? [] : ["cannot"]), ...(answers.comment ? [] : ["comment"]), ...(answers.key_images ? [] : ["key-image"]),
    ...(navigation === "free" ? [] : ["case-before"]), ...(board.adjuster ? [] : display),
  ];
  const asked = Object.fromEntries(Object.entries(actions).filter(([action]) => !unasked.includes(action)));
  const chosen = board.state.classes.filter(({ key }) => key).map((found) => ({ ...found, action: `choose-${found.key}` }));
  const titled = DESK_KEYS.map((entry) => ({ ...entry, label: chosen.find(({ action }) => action === entry.action)?.title ?? entry.label }));
  const keymap = new Keymap(titled).onAll(asked);
  for (const { action, key } of chosen) keymap.on(action, () => form.choose(Number(key)));
  if (answers.confidence) {
    for (const n of [1, 2, 3, 4, 5]) keymap.on(`sure-${n}`, () => form.confidence(n));
  }
  document.addEventListener("keydown", (event) => pressed(board, keymap, event));
  keymap.listenToButtons(board.root, (event, button) => { if (event.detail > 0) button.blur(); });
  board.root.addEventListener("click", (event) => {
    if (event.detail > 0) event.target.closest("summary, .desk-case")?.blur(); // Enter means "next case" again
  });
  for (const slider of board.root.querySelectorAll("[data-adjust]")) slider.addEventListener("pointerup", () => slider.blur());
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && board.report({ leaving: true }));
  window.addEventListener("beforeunload", (event) => { if (board.sync.queue.size) event.preventDefault(); });
  window.addEventListener("hashchange", () => {
    const n = Number(/^#case-(\d+)$/.exec(window.location.hash)?.[1]);
    board.go(board.state.cases.find((line) => line.n === n));
  });
  return keymap;
}

function pressed(board, keymap, event) {
  if (isTyping(event.target)) {
    const inAnswer = board.form.root.contains(event.target) && event.target.tagName === "INPUT";
    if (inAnswer && event.key === "Enter") event.target.blur(); // back to the keys
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (document.querySelector("dialog[open]") || board.going || board.isLocked) return;
  if (event.repeat && event.key === "Enter") return; // a key that is held down goes through no case
  board.stage.leader = board.stage.core; // keys act on the field that goes on
  const sure = board.state.answers.confidence ? shiftedDigit(event) : null;
  const digit = digitByPlace(event);
  const plain = digit && Number(digit);
  if (sure) {
    event.preventDefault();
    board.form.confidence(sure);
  } else if (plain === 0 && board.state.answers.cannot_decide) {
    event.preventDefault();
    board.form.cannotDecide();
  } else if (plain && plain <= board.state.classes.length) {
    event.preventDefault();
    board.form.choose(plain);
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    board.toSeal();
  } else if (!(event.key === "Enter" && event.target.closest?.("button, a, summary"))) {
    keymap.handle(event);
  }
}
