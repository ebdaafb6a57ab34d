// What only the person can settle: an image decided in two windows, and decisions that the server does not accept.

import { askRefused, askWhich } from "./sorting_dialogs.js";

export class Choices {
  #conflicts = null;

  constructor(board) {
    this.board = board;
  }

  async settle(conflicts) {
    const { board } = this;
    const { outbox, model } = board;
    this.#conflicts = conflicts;
    const mine = (image) => outbox.pending.findLast((one) => one.image === image);
    const words = (one) => board.describe({ ...one, said: [], slide: 0 }).words;
    const answers = await askWhich(board.part("conflict-dialog"), conflicts, { mine, words, thumb: (id) => board.address("thumb", id) });
    if (!answers || !(await board.door.letsThen())) return; // they wait; the badge's button asks again
    for (const theirs of conflicts) {
      const keepTheirs = answers.get(theirs.image) === "theirs";
      if (keepTheirs) {
        model.stand(model.byId.get(theirs.image), theirs);
        board.history.forget(theirs.image);
      }
      await outbox.settle(theirs.image, { keepTheirs, key: theirs.key });
    }
    this.#conflicts = null;
    board.paint();
    outbox.resume();
  }

  async refused(error) {
    const { outbox } = this.board;
    const answer = await askRefused(this.board.part("refused-dialog"), error, outbox.nPending);
    if (!answer || !(await this.board.door.letsThen())) return;
    if (answer === "again") {
      outbox.resume();
      return;
    }
    await outbox.discard();
    window.location.reload();
  }

  /** The badge's button: ask again what was left unanswered. */
  open() {
    const { outbox } = this.board;
    if (outbox.state === "conflict" && this.#conflicts) this.settle(this.#conflicts);
    if (["refused", "forbidden"].includes(outbox.state)) this.refused(outbox.error);
  }
}
