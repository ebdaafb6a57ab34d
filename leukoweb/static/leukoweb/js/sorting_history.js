// Undo and redo to any depth. Nothing is erased: each undo and redo is a new decision that says the earlier thing again.

export class History {
  #undo = [];
  #redo = [];
  #complete;

  /** @param {boolean} complete whether there was nothing before (else the server knows more) */
  constructor(complete = true) {
    this.#complete = complete;
  }

  /** Whether an undo needs what the server remembers from before this window was opened. */
  get needsPast() {
    return !this.#undo.length && !this.#complete;
  }

  get canUndo() {
    return this.#undo.length > 0 || !this.#complete;
  }

  get canRedo() {
    return this.#redo.length > 0;
  }

  /** An action of the person: ``changes`` are {id, before, after}. */
  push(changes) {
    this.#undo.push(changes);
    this.#redo = [];
  }

  /** What to say now, or null. Call ``done`` with the same list once it was said. */
  undo() {
    const changes = this.#undo.pop();
    if (!changes) return null;
    this.#redo.push(changes);
    return changes.map(({ id, before }) => ({ id, ...before }));
  }

  redo() {
    const changes = this.#redo.pop();
    if (!changes) return null;
    this.#undo.push(changes);
    return changes.map(({ id, after }) => ({ id, ...after }));
  }

  /** Start over from all decisions of the person in order: [key, image, verdict, label, reason, origin]. */
  rebuild(rows) {
    this.#undo = [];
    this.#redo = [];
    this.#complete = true;
    const standing = new Map();
    const nothing = { verdict: "cleared", label: "", reason: "" };
    let last = null;
    for (const [key, id, verdict, label, reason, origin] of rows) {
      const after = { verdict, label, reason };
      const change = { id, before: standing.get(id) ?? nothing, after };
      standing.set(id, after);
      if (key === last) {
        if (origin === "key" || origin === "bulk") this.#undo.at(-1)?.push(change);
        continue;
      }
      last = key;
      if (origin === "undo") {
        if (this.#undo.length) this.#redo.push(this.#undo.pop());
      } else if (origin === "redo") {
        if (this.#redo.length) this.#undo.push(this.#redo.pop());
      } else this.push([change]);
    }
  }
}
