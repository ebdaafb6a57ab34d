// Undo and redo to any depth. Nothing is erased: each undo and redo is a new decision that says the earlier thing again.

export class History {
  #undo = [];
  #redo = [];
  #complete;
  #load;
  #loading = null;
  #mine = new Set(); // keys of what this window said

  /**
   * @param {boolean} complete whether there was nothing before (else the server knows more)
   * @param {() => Promise<Array>} load all decisions of the person in order: [key, image, verdict, label, reason, origin]
   */
  constructor(complete = true, load = async () => []) {
    this.#complete = complete;
    this.#load = load;
  }

  /**
   * Learn what was before this window was opened. However often it is asked for meanwhile, it is learned once. Resolves with
   * whether something was decided meanwhile: an undo that waited for this was not meant for that.
   */
  recall() {
    this.#loading ??= this.#load()
      .then((rows) => this.#rebuild(rows))
      .finally(() => { this.#loading = null; });
    return this.#loading;
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

  /** This window said something: the server's list may hold it already, and it is no past. */
  said(key) {
    this.#mine.add(key);
  }

  /** An action of the person: ``changes`` are {id, before, after}. */
  push(changes) {
    this.#undo.push(changes);
    this.#redo = [];
  }

  /** What another window said of this image stands: undoing an earlier change of it here would wipe that. */
  forget(id) {
    const others = (steps) => steps.map((changes) => changes.filter((change) => change.id !== id)).filter((changes) => changes.length);
    this.#undo = others(this.#undo);
    this.#redo = others(this.#redo);
  }

  /** What to say now, or null. */
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

  /** Put what was before under what this window did. */
  #rebuild(rows) {
    const undo = [];
    let redo = [];
    const standing = new Map();
    const nothing = { verdict: "cleared", label: "", reason: "" };
    let last = null;
    for (const [key, id, verdict, label, reason, origin] of rows) {
      if (this.#mine.has(key)) continue;
      const after = { verdict, label, reason };
      const change = { id, before: standing.get(id) ?? nothing, after };
      standing.set(id, after);
      if (key === last) {
        if (origin === "key" || origin === "bulk") undo.at(-1)?.push(change);
        continue;
      }
      last = key;
      if (origin === "undo") {
        if (undo.length) redo.push(undo.pop());
      } else if (origin === "redo") {
        if (redo.length) undo.push(redo.pop());
      } else {
        undo.push([change]);
        redo = [];
      }
    }
    const overtaken = this.#undo.length > 0;
    this.#complete = true;
    this.#undo = [...undo, ...this.#undo];
    if (!this.#mine.size) this.#redo = redo;
    return overtaken;
  }
}
