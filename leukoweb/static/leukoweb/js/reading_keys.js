// The keys of the reading board. The digits of the main row are taken by their place on every keyboard: without Shift they
// choose the diagnosis, with Shift they say how sure one is. Signs that share a key with a digit somewhere have a letter, too.

export const DESK_KEYS = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({ action: `choose-${n}`, keys: [String(n)], label: `Diagnosis ${n}`, group: "Answer" })),
  { action: "cannot", keys: ["0"], label: "Cannot decide", group: "Answer" },
  ...[1, 2, 3, 4, 5].map((n) => ({ action: `sure-${n}`, keys: [`Shift+${n}`], label: n === 1 ? "How sure: a guess" : n === 5 ? "How sure: certain" : `How sure: ${n} of 5`, group: "Answer" })),
  { action: "clear", keys: ["Delete", "Backspace"], label: "Take the diagnosis back", group: "Answer" },
  { action: "recognised", keys: ["r"], label: "I recognised this case or saw information", group: "Answer" },
  { action: "comment", keys: ["c"], label: "Comment", group: "Answer" },
  { action: "key-image", keys: ["m"], label: "Mark or unmark as key field", group: "Answer" },
  { action: "case-next", keys: ["Enter"], label: "Next case", group: "Cases" },
  { action: "case-before", keys: ["b"], label: "Case before", group: "Cases" },
  { action: "seal", keys: ["Ctrl+Enter"], label: "Check and sign the session", group: "Cases" },
  { action: "pause", keys: ["p"], label: "Pause", group: "Cases" },
  { action: "next", keys: ["ArrowRight", "f"], label: "Next field", group: "Fields" },
  { action: "previous", keys: ["ArrowLeft", "d"], label: "Field before", group: "Fields" },
  { action: "unseen", keys: ["n"], label: "Next field not seen", group: "Fields" },
  { action: "first", keys: ["Shift+Home"], label: "First field", group: "Fields" },
  { action: "last", keys: ["Shift+End"], label: "Last field", group: "Fields" },
  { action: "compare", keys: ["v"], label: "Two fields side by side: this one, or the last key field, is held", group: "Fields" },
  { action: "fit", keys: ["Home"], label: "Whole field", group: "Zoom" },
  { action: "zoom-in", keys: ["+", "=", "e"], label: "Closer", group: "Zoom" },
  { action: "zoom-out", keys: ["-", "w"], label: "Further away", group: "Zoom" },
  { action: "keep-view", keys: ["z"], label: "Keep place and zoom between fields", group: "Zoom" },
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
  { action: "instructions", keys: ["i"], label: "Instructions of the study, and whom to ask", group: "Help" },
  { action: "help", keys: ["?", "F1"], label: "This sheet", group: "Help" },
];

/**
 * Shift with a digit of the main row or of the number pad, whatever sign the keyboard prints there. Windows takes Shift out
 * of the event on the number pad and makes an arrow of it: with NumLock on, only Shift does that.
 */
export function shiftedDigit(event) {
  const [, row, digit] = /^(Digit|Numpad)([1-5])$/.exec(event.code) ?? [];
  const taken = row === "Numpad" && event.getModifierState("NumLock") && !/^\d$/.test(event.key);
  return digit && (event.shiftKey || taken) && !event.ctrlKey && !event.altKey && !event.metaKey ? Number(digit) : null;
}
