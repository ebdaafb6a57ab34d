// The answer as buttons and fields. Nothing is chosen until the reader chooses it.

/** What comes along when text is pasted from Word or a PDF: breaks become lines, what cannot be printed goes. */
export function printable(text) {
  return text.replace(/\r\n?|[\v\f]/g, "\n").replace(/[\x00-\x08\x0e-\x1f\x7f]|\p{Surrogate}/gu, "");
}

export class AnswerForm {
  #answer = null;
  #off = true; // nothing can be answered: no case yet, its first field is on its way, or it was withdrawn

  /** @param {HTMLElement} root  @param {(answer: object) => void} changed  called after each change by the reader */
  constructor(root, rules, changed) {
    this.root = root;
    this.rules = rules;
    this.changed = changed;
    for (const button of this.all("[data-diagnosis]")) {
      button.addEventListener("click", (event) => this.#chosen(event, { diagnosis: button.dataset.diagnosis, cannot_decide: false }));
    }
    for (const button of this.all("[data-confidence]")) {
      button.addEventListener("click", (event) => this.#chosen(event, { confidence: Number(button.dataset.confidence) }));
    }
    this.one("[data-cannot]")?.addEventListener("click", (event) => { this.#chosen(event, {}); this.cannotDecide(); });
    this.one("[data-recognised]").addEventListener("change", (event) => {
      this.change({ recognised: event.target.checked });
      if (event.target.checked) this.one("[data-recognised-note]").focus();
      else event.target.blur(); // Enter means "next case" again
    });
    for (const [hook, part] of [["reason", "reason"], ["recognised-note", "recognised_note"], ["comment", "comment"]]) {
      this.one(`[data-${hook}]`)?.addEventListener("input", (event) => this.change({ [part]: printable(event.target.value) }, { draw: false }));
    }
  }

  all(selector) {
    return this.root.querySelectorAll(selector);
  }

  one(selector) {
    return this.root.querySelector(selector);
  }

  #chosen(event, parts) {
    if (event.detail > 0) event.currentTarget.blur(); // after a click, Enter means "next case", not this button again
    if (Object.keys(parts).length) this.change(parts);
  }

  get answer() {
    return this.#answer;
  }

  get off() {
    return this.#off;
  }

  set off(off) {
    this.#off = off;
    for (const field of this.all("input:not([type=checkbox]), textarea")) field.readOnly = off;
    this.one("[data-recognised]").disabled = off;
  }

  show(answer) {
    this.#answer = structuredClone(answer);
    this.#draw();
  }

  /** By the reader. */
  change(parts, { draw = true } = {}) {
    if (!this.#answer || this.off) return;
    this.#answer = { ...this.#answer, ...parts };
    if (draw) this.#draw();
    this.changed(structuredClone(this.#answer));
  }

  choose(number) {
    const button = this.all("[data-diagnosis]")[number - 1];
    if (button) this.change({ diagnosis: button.dataset.diagnosis, cannot_decide: false });
  }

  confidence(number) {
    if (this.rules.answers.confidence) this.change({ confidence: number });
  }

  cannotDecide() {
    if (!this.rules.answers.cannot_decide || this.off) return;
    this.change({ cannot_decide: true, diagnosis: "" });
    this.one("[data-reason]").focus();
  }

  clear() {
    this.change({ diagnosis: "", cannot_decide: false, confidence: null });
  }

  toggleRecognised() {
    if (this.off) return;
    this.change({ recognised: !this.#answer.recognised });
    if (this.#answer.recognised) this.one("[data-recognised-note]").focus();
  }

  /** What a complete answer still needs, in words; the same rule as reader_study.answers.answer_missing. */
  missing() {
    const { diagnosis, cannot_decide: cannot, reason, confidence } = this.#answer;
    if (cannot) return reason.trim() ? [] : ["the reason"];
    const open = diagnosis ? [] : ["a diagnosis"];
    if (this.rules.answers.confidence && confidence === null) open.push("how sure you are");
    return open;
  }

  #draw() {
    const answer = this.#answer;
    const press = (button, on) => button.setAttribute("aria-pressed", String(on));
    for (const button of this.all("[data-diagnosis]")) press(button, button.dataset.diagnosis === answer.diagnosis);
    for (const button of this.all("[data-confidence]")) press(button, Number(button.dataset.confidence) === answer.confidence);
    const cannot = this.one("[data-cannot]");
    if (cannot) {
      press(cannot, answer.cannot_decide);
      this.one("[data-reason-box]").hidden = !answer.cannot_decide;
      this.#fill("[data-reason]", answer.reason);
    }
    this.one("[data-recognised]").checked = answer.recognised;
    this.one("[data-recognised-box]").hidden = !answer.recognised;
    this.#fill("[data-recognised-note]", answer.recognised_note);
    this.#fill("[data-comment]", answer.comment);
  }

  #fill(selector, value) {
    const field = this.one(selector);
    if (field && field.value !== value) field.value = value;
  }
}

/** An answer in one line, for the choice between two. */
export function answerText(answer, classes) {
  const title = classes.find(({ name }) => name === answer.diagnosis)?.title;
  const parts = [answer.cannot_decide ? `Cannot decide (${answer.reason || "no reason yet"})` : title ?? "No diagnosis"];
  if (answer.confidence) parts.push(`sure: ${answer.confidence} of 5`);
  if (answer.key_images.length) parts.push(`key fields ${answer.key_images.join(", ")}`);
  if (answer.recognised) parts.push("recognised");
  if (answer.comment) parts.push(`comment “${answer.comment.slice(0, 60)}”`);
  return parts.join(", ");
}
