// Dialogs of the board: why an image is excluded, which of two decisions stays, what the server did not accept. The last two
// come by themselves: their heading has the focus, so that a key on its way to an image answers nothing.

import { digitByPlace } from "./keymap.js";

/**
 * Ask for a reason. Digits choose, by their place. Resolves with {reason, moved}: the text, or null if the person thought
 * better of it; whether the pointer moved meanwhile.
 */
export function askReason(dialog, count) {
  const form = dialog.querySelector("form");
  const other = form.elements.other;
  dialog.querySelector("[data-reason-count]").textContent = count === 1 ? "this image" : `${count} images`;
  form.reset();
  dialog.querySelector("[data-reason-message]").textContent = "";
  let moved = false;
  return new Promise((resolve) => {
    const choose = (value) => {
      const text = other.value.trim();
      if (value === "other" && !text) {
        dialog.querySelector("[data-reason-message]").textContent = "Write the reason in a few words.";
        other.focus();
        return;
      }
      stop(value === "other" ? text : [value, text].filter(Boolean).join(": "));
    };
    const onClick = (event) => {
      const button = event.target.closest("[data-reason]");
      if (button) choose(button.dataset.reason);
    };
    const onKey = (event) => {
      if (event.target === other) {
        if (event.key !== "Enter") return;
        event.preventDefault();
        choose("other");
        return;
      }
      const pad = /^Numpad(\d)$/.exec(event.code ?? "");
      const key = pad ? pad[1] : digitByPlace(event) ?? event.key;
      const button = dialog.querySelector(`[data-reason-key="${CSS.escape(key)}"]`);
      if (!button) return;
      event.preventDefault();
      choose(button.dataset.reason);
    };
    const onClose = () => stop(null);
    const onMove = () => { moved = true; };
    const stop = (reason) => {
      dialog.removeEventListener("click", onClick);
      dialog.removeEventListener("keydown", onKey);
      dialog.removeEventListener("close", onClose);
      document.removeEventListener("pointermove", onMove, true);
      if (dialog.open) dialog.close();
      resolve({ reason, moved });
    };
    dialog.addEventListener("click", onClick);
    dialog.addEventListener("keydown", onKey);
    dialog.addEventListener("close", onClose);
    document.addEventListener("pointermove", onMove, true);
    dialog.showModal();
    dialog.querySelector("[data-reason]").focus();
  });
}

/**
 * Two windows decided the same image. Shows both for each and resolves with a Map image -> "theirs" | "mine" once every
 * one is settled, or null if the dialog was closed.
 */
export function askWhich(dialog, conflicts, { mine, words, thumb }) {
  const list = dialog.querySelector("[data-conflicts]");
  const answers = new Map();
  return new Promise((resolve) => {
    list.replaceChildren(...conflicts.map((theirs) => {
      const row = document.createElement("li");
      const picture = document.createElement("img");
      picture.src = thumb(theirs.image);
      picture.alt = "";
      const choices = document.createElement("div");
      choices.className = "conflict-choices";
      for (const [side, text] of [
        ["theirs", `On the server: ${words(theirs)}`], ["mine", `In this window: ${words(mine(theirs.image))}`],
      ]) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "btn btn-outline-secondary";
        button.dataset.choose = side;
        button.setAttribute("aria-pressed", "false");
        button.textContent = `Keep. ${text}`;
        button.addEventListener("click", () => {
          answers.set(theirs.image, side);
          for (const one of choices.children) one.setAttribute("aria-pressed", String(one === button));
          if (answers.size === conflicts.length) dialog.close("settled");
        });
        choices.append(button);
      }
      row.append(picture, choices);
      return row;
    }));
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "settled" ? answers : null), { once: true });
    dialog.returnValue = "";
    if (!dialog.open) dialog.showModal();
  });
}

/** The server will not take some decisions; resolves with "again", "discard" or null. */
export function askRefused(dialog, error, count) {
  dialog.querySelector("[data-refused-words]").textContent = `${error.message} ${error.hint ?? ""}`.trim();
  dialog.querySelector("[data-refused-count]").textContent = count;
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue || null), { once: true });
    dialog.returnValue = "";
    if (!dialog.open) dialog.showModal();
  });
}
