// What stops the reader and lets them go on in place: a locked desk, a lost sign-in, a pause, two answers to one case.

import { answerText } from "./reading_answer.js";
import { ask } from "./reading_api.js";

export class Dialogs {
  #waiting = null;
  #free = null;
  #undecided = false; // which of two answers stays

  constructor(board) {
    this.board = board;
    this.one("[data-unlock-form]")?.addEventListener("submit", (event) => this.#unlock(event));
    this.#needsAnswer(this.one("[data-locked]"), () => this.#waiting && !this.one("[data-signin]").open);
    this.#needsAnswer(this.one("[data-clash]"), () => this.#undecided);
    this.one("[data-signin]").addEventListener("close", () => this.#signedIn());
    for (const name of ["paused", "instructions"]) {
      this.one(`[data-${name}]`).addEventListener("close", () => {
        board.root.classList.remove("is-paused");
        if (!this.#waiting) board.clock.go();
      });
    }
  }

  /** Nothing waves it away. A browser closes a dialog at the second Escape whatever "cancel" says; then it comes back. */
  #needsAnswer(dialog, open) {
    dialog.setAttribute("closedby", "none");
    dialog.addEventListener("keydown", (event) => { if (event.key === "Escape") event.preventDefault(); });
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => { if (open() && !dialog.open) dialog.showModal(); });
  }

  one(selector) {
    return this.board.one(selector);
  }

  /** `name`: paused or instructions. */
  rest(name) {
    this.one(`[data-${name}]`).showModal();
  }

  /** The desk is locked or the sign-in is over: mended here, nothing is lost. Resolves when one may go on. */
  locked(error) {
    this.board.clock?.stop();
    this.board.root.classList.add("is-locked");
    this.#waiting ??= new Promise((resolve) => { this.#free = resolve; });
    const dialog = this.one(error.code === "E_LOCKED" ? "[data-locked]" : "[data-signin]");
    const other = this.one(error.code === "E_LOCKED" ? "[data-signin]" : "[data-locked]");
    for (const name of ["help", "instructions", "paused"]) this.one(`[data-${name}]`).close(); // a lock never waits behind them
    if (!dialog.open && !other.open) dialog.showModal();
    return this.#waiting;
  }

  /** However the dialog was closed: only the server knows whether one is signed in again. Until then the desk stays shut. */
  async #signedIn() {
    const dialog = this.one("[data-signin]");
    const words = this.one("[data-signin-error]");
    words.textContent = "";
    try {
      await ask(`${this.board.base}state/`);
      this.#goOn();
    } catch (error) {
      if (error.status === 404) this.board.gone();
      else if (error.code === "E_LOCKED") this.locked(error);
      else {
        words.textContent = error.status === 401 ? "You are not signed in yet." : error.message;
        if (!dialog.open) dialog.showModal();
      }
    }
  }

  #goOn() {
    const { board } = this;
    board.root.classList.remove("is-locked");
    board.clock?.go();
    this.#free?.();
    this.#waiting = this.#free = null;
    board.sync?.release();
    board.stage?.mend();
  }

  async #unlock(event) {
    event.preventDefault();
    const [password, code] = ["[data-unlock-password]", "[data-unlock-code]"].map((name) => this.one(name));
    const words = this.one("[data-unlock-error]");
    try {
      await ask(this.board.root.dataset.unlock, { password: password?.value ?? "", code: code?.value ?? "" });
      words.textContent = "";
      this.one("[data-locked]").close();
      this.#goOn();
    } catch (error) {
      if (error.code === "E_LOGIN") {
        this.one("[data-locked]").close();
        this.one("[data-signin]").showModal();
      } else {
        words.textContent = error.message;
      }
    } finally {
      for (const field of [password, code]) if (field) field.value = "";
    }
  }

  /** One case, two answers: the reader says which stays. The own one is the newest, which the form shows. */
  clash(token, body) {
    const { board } = this;
    const dialog = this.one("[data-clash]");
    const line = board.state.cases.find((found) => found.case === token); // not always the case that is shown
    this.one("[data-clash-title]").textContent = `${line ? `Case ${line.n}` : "A case"} was answered elsewhere`;
    this.one("[data-clash-mine]").textContent = answerText(board.sync.pending(token), board.state.classes);
    this.one("[data-clash-theirs]").textContent = answerText(body.answer, board.state.classes);
    for (const button of dialog.querySelectorAll("[data-clash-keep]")) {
      button.onclick = async () => {
        const keep = button.dataset.clashKeep === "mine";
        this.#undecided = false;
        if (!keep && token === board.case?.case) board.showAnswer(body.answer);
        dialog.close(); // from here on keys count: the form shows what stays
        await board.sync.settle(token, { version: body.version, keep });
        board.drawTodo();
      };
    }
    this.#undecided = true;
    if (!dialog.open) dialog.showModal();
  }
}
