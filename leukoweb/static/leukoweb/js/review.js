// Keys of the review page: walk through the fields, change their size, tick, settle. The page works without it.

import { Keymap, openSheet } from "./keymap.js";

export const REVIEW_KEYS = [
  { action: "next", keys: ["ArrowRight", "f"], label: "Next field", group: "Fields" },
  { action: "previous", keys: ["ArrowLeft", "d"], label: "Field before", group: "Fields" },
  { action: "next-text", keys: ["n"], label: "Next field that seems to hold text", group: "Fields" },
  { action: "larger", keys: ["+", "="], label: "Larger", group: "Fields" },
  { action: "smaller", keys: ["-"], label: "Smaller", group: "Fields" },
  { action: "tick-1", keys: ["1"], label: "Tick: nothing names anybody", group: "Review" },
  { action: "tick-2", keys: ["2"], label: "Tick: complete", group: "Review" },
  { action: "tick-3", keys: ["3"], label: "Tick: in order", group: "Review" },
  { action: "reason", keys: ["r"], label: "Write why it is refused", group: "Review" },
  { action: "settle", keys: ["s"], label: "Go to the button that settles it", group: "Review" },
  { action: "help", keys: ["?", "F1"], label: "This sheet", group: "Help" },
];

const SIZES = ["s", "m", "l"];

export function init(root) {
  const sheet = root.querySelector("[data-review-sheet]");
  if (!sheet) return null;
  const fields = () => [...sheet.querySelectorAll(".review-field")]; // anew: an ended search brings its frames
  const form = root.querySelector("[data-review-form]");
  const ticks = [...form.querySelectorAll("input[type=checkbox]")];
  const at = () => fields().indexOf(document.activeElement);
  const go = (field) => {
    field?.focus({ preventScroll: true });
    field?.scrollIntoView({ block: "center" });
  };
  const resize = (by) => {
    const now = SIZES.indexOf(sheet.dataset.size ?? "m");
    sheet.dataset.size = SIZES[Math.min(SIZES.length - 1, Math.max(0, now + by))];
    go(fields()[at()]);
  };
  const help = root.querySelector("[data-review-help]");
  const keymap = new Keymap(REVIEW_KEYS);
  const actions = {
    next: () => go(fields()[Math.min(fields().length - 1, at() + 1)]),
    previous: () => go(fields()[Math.max(0, at() - 1)]),
    "next-text": () => {
      const all = fields();
      const marked = all.filter((field) => field.classList.contains("has-text"));
      go(marked.find((field) => all.indexOf(field) > at()) ?? marked[0]);
    },
    larger: () => resize(1),
    smaller: () => resize(-1),
    reason: () => form.querySelector("textarea").focus(),
    settle: () => form.querySelector("[type=submit]").focus(),
    help: () => openSheet(help, keymap),
  };
  ticks.forEach((tick, index) => {
    actions[`tick-${index + 1}`] = () => tick.click();
  });
  keymap.onAll(actions);
  const button = root.querySelector("[data-action='help']");
  button.hidden = false;
  button.addEventListener("click", () => keymap.run("help"));
  keymap.attach(document);
  return keymap;
}

init(document);
