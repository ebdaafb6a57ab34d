// Who may decide on a board: its owner alone. A tab stays open while somebody else signs in in another one.

const WHO_MS = 1500; // longer than this no key waits for the server to say who is signed in

export class Door {
  asking = null; // while the server is asked who is signed in
  #waiting = null; // the one key that waits for it

  /** @param {object} outbox  @param {(options: object) => Promise} ask the server, and let the outbox hear  @param {(words: string) => void} say */
  constructor(outbox, ask, say) {
    Object.assign(this, { outbox, request: ask, say });
  }

  /** Back at the window: whoever sits there now may have signed in in another tab. Until that is known nothing is decided. */
  ask() {
    this.asking ??= this.request({ timeout_ms: WHO_MS }).finally(() => { this.asking = null; });
    return this.asking;
  }

  /** Whether the owner decides now; else what stands in the way is said. What others decide here would be written as the owner's. */
  lets() {
    const words = this.#obstacle();
    if (words) this.say(words);
    return !words;
  }

  /** The same once it is known: what a dialog answered, which was open while the window was away. */
  async letsThen() {
    await this.asking;
    return this.lets();
  }

  #obstacle() {
    if (this.asking) return "The server is asked who is signed in now. Nothing was decided; do it again.";
    if (this.outbox.others === "here") return "Somebody else is signed in in this browser now. Nothing was decided.";
    if (this.outbox.others === "gone") return "Somebody else was signed in in this browser. Nothing was decided; sign in again first.";
    // No answer, or a late one, is no trouble as long as nobody signed in since the last one.
    if (this.outbox.inDoubt) return "Somebody signed in in this browser, and the server does not say who. Nothing was decided; do it again.";
    return "";
  }

  /**
   * Just after coming back to the window one decision waits until it is known who sits there. Another one meanwhile is passed
   * over, because nobody has seen yet what it would be for; so is the first if the pointer went to another image.
   * @param {() => string} meant which images it is for, "" where that does not matter
   */
  whenKnown(meant, deed) {
    if (!this.asking && this.outbox.inDoubt) this.ask();
    if (!this.asking) {
      deed();
      return;
    }
    if (this.#waiting) {
      this.say("One key waits until the server has said who is signed in. This one was passed over.");
      return;
    }
    const before = meant();
    this.#waiting = this.asking.then(() => {
      this.#waiting = null;
      if (meant() === before) deed();
      else this.say("The pointer went to another image meanwhile. Nothing was decided.");
    });
  }
}
