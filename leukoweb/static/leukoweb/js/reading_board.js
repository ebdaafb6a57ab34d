// The reading board: one patient, all fields, one answer. See docs/blinding.md for what the page may know.

import { AnswerForm } from "./reading_answer.js";
import { ask } from "./reading_api.js";
import { ActiveClock } from "./reading_clock.js";
import { Dialogs } from "./reading_dialogs.js";
import { drawAssistance, drawCases, drawSaved, minutesText } from "./reading_draw.js";
import { bindHands } from "./reading_hands.js";
import { FieldStage } from "./reading_stage.js";
import { Queue } from "./reading_store.js";
import { AnswerSync } from "./reading_sync.js";
import { Adjuster } from "./viewer_adjust.js";

const REPORT_EVERY_MS = 5000;
const GONE = "This case was withdrawn from the study. There is nothing to do for it; go on with the next.";
const SURROUNDS = ["dark", "neutral", "light"];

export class ReadingBoard {
  constructor(root) {
    this.root = root;
    this.base = root.dataset.base;
    this.case = null;
    this.activeMs = 0;
    this.saveState = {};
    this.waits = false; // the reader was told to wait for an answer to be saved
  }

  get isLocked() {
    return this.root.classList.contains("is-locked");
  }

  one(selector) {
    return this.root.querySelector(selector);
  }

  async start() {
    this.dialogs = new Dialogs(this); // first: a desk may be locked by now
    this.state = await this.guarded(() => ask(`${this.base}state/`));
    if (!this.state) return;
    const address = (kind) => (token) => `${this.base}image/${token}/${kind}`;
    this.stage = new FieldStage(this.root, {
      imageUrl: address(""), thumbUrl: address("small/"), seen: () => this.seenSoon(), shown: () => this.drawPosition(),
      ready: () => this.drawReady(), pair: () => this.drawPair(), locked: (error) => this.locked(error), missing: () => this.lookAgain(),
    });
    this.stage.keepView = this.state.viewer.zoom === "kept";
    this.adjuster = this.state.viewer.brightness_contrast ? new Adjuster(this.root, (values) => this.adjusted(values)) : null;
    this.form = new AnswerForm(this.one("[data-answer]"), this.state, (answer) => this.answered(answer));
    const queue = await new Queue(this.root.dataset.desk).open();
    this.sync = new AnswerSync(queue, {
      url: (token) => `${this.base}case/${token}/answer/`,
      changed: (state) => this.drawSaved(state),
      clash: (token, body) => this.dialogs.clash(token, body),
      dropped: (error) => this.dropped(error),
      locked: (error) => this.locked(error),
      gone: () => this.gone(),
      closed: (error) => this.stage.say(`${error.message} What you answered last waits on this computer until you sign out; ask the study coordinator.`),
    });
    this.clock = new ActiveClock({
      tick: (ms) => this.tick(ms), idle: () => this.locked({ code: "E_LOCKED" }), idleMinutes: Number(this.state.idle_minutes),
    });
    this.keymap = bindHands(this);
    this.drawKeepView();
    await this.sync.flush();
    const asked = /^#case-(\d+)$/.exec(window.location.hash)?.[1];
    await this.go(this.state.cases.find(({ n }) => n === Number(asked ?? this.state.current)) ?? this.state.cases[0]);
    window.setInterval(() => this.isLocked || this.report(), REPORT_EVERY_MS);
  }

  /** Ask the server; a lock, a lost sign-in or a lost line is mended in place, then it is asked again. */
  async guarded(request) {
    let waited = false;
    for (;;) {
      try {
        const found = await request();
        if (waited) this.sync?.tell(); // the badge speaks of answers again
        return found;
      } catch (error) {
        if (error.status === 401) await this.locked(error);
        else if (error.status === 404) return this.gone();
        else if (error.code === "E_FORWARD" || error.code === "E_UNFINISHED") return this.catchUp();
        else if (error.passing) {
          this.drawSaved({ pending: this.sync?.queue.cases ?? 0, failing: true });
          waited = true;
          await new Promise((wake) => { window.setTimeout(wake, 2000); });
        } else {
          this.sayTodo(error.message);
          return null;
        }
      }
    }
  }

  gone() {
    window.location.assign(this.root.dataset.home);
    return null;
  }

  /** Nothing is dropped: what waits here belongs to who opened this session, and is sent when they are back. */
  locked(error) {
    return this.dialogs.locked(error);
  }

  /** The case takes no answer any more. */
  dropped(error) {
    if (error.code === "E_FORWARD") this.catchUp();
    else this.lookAgain(); // it was withdrawn, which the case says itself
  }

  /** Another window went on (this study is read forward only): go to where it is. */
  async catchUp() {
    const state = await ask(`${this.base}state/`).catch(() => null);
    const line = state?.cases.find(({ n }) => n === state.current);
    if (!line) return null;
    this.state = state;
    if (line.case === this.case?.case) {
      this.drawTodo(true);
      return null;
    }
    const found = await ask(`${this.base}case/${line.case}/show/`, {}).catch(() => null);
    if (found) {
      await this.showCase(found);
      this.stage.say("The case before was finished in another window. This is the next one.");
    }
    return null;
  }

  /** Go to a case of the list. */
  async go(line) {
    if (!line || this.going || line.case === this.case?.case) return;
    await this.arrive(() => ask(`${this.base}case/${line.case}/show/`, {}));
  }

  /** A field is not there any more: has the case left the study while it was shown? */
  async lookAgain() {
    const shown = this.case?.case;
    const found = await ask(`${this.base}case/${shown}/`).catch(() => null);
    if (found?.gone && shown === this.case.case && !this.going) await this.showCase(found);
  }

  async goNext() {
    if (!this.case || this.going) return;
    const free = this.state.navigation === "free";
    if (!free && this.openPoints().length) {
      this.drawTodo(true);
    } else if (this.case.n === this.state.of) {
      await this.toSeal();
    } else if (free) {
      const [left, open] = [this.case.n, this.openPoints()];
      await this.go(this.state.cases.find(({ n }) => n === left + 1));
      if (open.length && this.case.n !== left) this.stage.say(`Case ${left} is left open: ${open.join(", ")}.`);
    } else if (await this.settled() && !this.going) {
      await this.arrive(() => ask(`${this.base}next/`, {}));
    }
  }

  /** Everything that was answered and looked at is on the server; where it is not, the reader is told why. */
  async settled() {
    await this.saving;
    const answered = await this.sync.flush();
    const error = answered ? await this.report() : null;
    if (error?.code === "E_CLOSED") this.sayTodo(error.message); // nothing is sent again
    else if (error) this.sayTodo(`What you looked at is not on the server yet: ${error.message} It is sent again in a moment; then go on.`);
    else if (!answered && !this.saveState.closed) {
      this.sayTodo(this.saveState.refused ? "An answer was not accepted, as stands at the top. Change it, then go on."
        : "Your answers are not all on the server yet. They are sent again by themselves; then go on.");
      this.waits = true;
    }
    return answered && !error;
  }

  /** While the next case is on its way no key answers the one before. */
  async arrive(request) {
    this.setGoing(true);
    await this.report();
    const found = await this.guarded(request);
    if (found) await this.showCase(found); // which takes keys again as soon as the case is there
    else this.setGoing(false);
  }

  setGoing(going) {
    this.going = going;
    this.root.classList.toggle("is-going", going);
  }

  async showCase(found) {
    this.case = found;
    this.activeMs = found.active_ms;
    this.form.show(this.sync.newest(found));
    this.adjuster?.set(this.form.answer.display);
    this.one("[data-title]").textContent = document.title = `Case ${found.n} of ${this.state.of}`;
    this.one("[data-training]").hidden = !found.training;
    this.root.classList.toggle("is-gone", found.gone);
    drawAssistance(this.one("[data-ai]"), found.assistance, (n) => this.stage.show(this.stage.fields.findIndex((f) => f.n === n)));
    this.one("[data-action='case-next']").textContent = found.n === this.state.of ? "Check and sign" : "Next case";
    if (this.state.navigation === "free") window.history.replaceState(null, "", `#case-${found.n}`);
    window.scrollTo(0, 0); // on a small screen the field stands above the answer
    this.one("[data-answer]").scrollTop = 0;
    const shown = this.stage.fill(found.fields);
    this.drawReady();
    this.stage.markKeys(this.form.answer.key_images);
    this.lastKey = this.form.answer.key_images.at(-1);
    this.setGoing(false);
    await shown;
    this.drawPosition();
    this.drawTodo();
    this.refresh();
  }

  /** Progress, and the list of cases where one may move freely. */
  async refresh() {
    const state = await ask(`${this.base}state/`).catch(() => null);
    if (!state) return;
    this.state = state;
    this.one("[data-left]").textContent = minutesText(state.minutes_left);
    drawCases(this.one("[data-cases]"), state.cases, this.case.case, (line) => this.go(line));
  }

  /** Another answer to the shown case than the reader's own. */
  showAnswer(answer) {
    this.form.show(answer);
    this.adjuster?.set(this.form.answer.display);
    this.stage.markKeys(this.form.answer.key_images);
  }

  answered(answer) {
    const display = this.adjuster ? this.stage.core.adjust : answer.display;
    this.form.answer.display = display;
    this.stage.markKeys(answer.key_images);
    this.drawTodo();
    this.saving = this.sync.save(this.case.case, { ...answer, display });
  }

  adjusted(values) {
    this.stage.setAdjust(values);
    const answer = this.form?.answer;
    if (!answer || this.form.off || (answer.display.brightness === values.brightness && answer.display.contrast === values.contrast)) return;
    answer.display = values;
    if (answer.diagnosis || answer.cannot_decide) this.sync.save(this.case.case, structuredClone(answer));
  }

  toggleKey() {
    const n = this.stage.field?.n;
    if (!n || !this.state.answers.key_images) return;
    const keys = this.form.answer.key_images;
    this.lastKey = keys.includes(n) ? keys.findLast((key) => key !== n) : n;
    this.form.change({ key_images: keys.includes(n) ? keys.filter((key) => key !== n) : [...keys, n].sort((a, b) => a - b) });
    this.drawPosition();
  }

  /** Waiting is not reading: neither for the first field of a case nor for the next case. */
  tick(ms) {
    if (!this.case || !this.stage.ready || this.going) return;
    this.activeMs += ms;
    this.stage.tick(ms);
  }

  seenSoon() {
    this.drawTodo();
    this.report();
  }

  /** Tell the server what was looked at. Totals, so that a lost or doubled report does no harm. Resolves with what went wrong. */
  async report({ leaving = false } = {}) {
    if (!this.case || !this.clock) return null;
    this.clock.step();
    const { fields, done } = this.stage.report();
    if (!Object.keys(fields).length) return null;
    const body = { active_ms: Math.round(this.activeMs), fields };
    try {
      await ask(`${this.base}case/${this.case.case}/seen/`, body, { keepalive: leaving });
      done();
      return null;
    } catch (error) {
      if (error.status === 401 && !leaving) {
        await this.locked(error);
        return this.report();
      }
      if (error.status === 404 && !leaving) this.gone(); // the session was closed
      return error;
    }
  }

  openPoints() {
    if (this.case?.gone) return [];
    const unseen = this.stage.unseen;
    const fields = unseen && this.state.require_all_viewed ? [`${unseen} field${unseen === 1 ? "" : "s"} not seen`] : [];
    const refused = this.sync.refusal(this.case?.case) ? ["your answer was not accepted"] : [];
    return [...fields, ...this.form.missing(), ...refused];
  }

  async toSeal() {
    if (await this.settled()) window.location.assign(this.one("[data-seal-link]").href);
  }

  // -- what the page says ----------------------------------------------------------------------------------------

  drawPosition() {
    const field = this.stage.field;
    this.one("[data-field-position]").textContent = field ? `Field ${field.n} of ${this.stage.fields.length}` : "";
    this.one("[data-action='key-image']")?.setAttribute("aria-pressed", String(this.form?.answer?.key_images.includes(field?.n) ?? false));
  }

  /** Until a field of this case is in sight, or known not to come, nothing is answered: it would be the case before. */
  drawReady() {
    this.form.off = !this.stage.ready || this.case.gone;
    this.root.classList.toggle("is-waiting", !this.stage.ready);
  }

  drawPair() {
    this.one("[data-action='compare']").setAttribute("aria-pressed", String(Boolean(this.stage.held)));
  }

  drawTodo(asked = false) {
    if (!this.form?.answer) return;
    const open = this.openPoints();
    const todo = this.one("[data-todo]");
    todo.textContent = open.length ? `Still open: ${open.join(", ")}.` : this.case?.gone ? GONE : "This case is finished.";
    todo.classList.toggle("is-asked", asked && open.length > 0);
    todo.classList.toggle("is-done", open.length === 0);
  }

  /** Beside "Next case", where whoever pressed it looks; the field may be out of sight on a phone. */
  sayTodo(words) {
    const todo = this.one("[data-todo]");
    todo.textContent = words;
    todo.classList.add("is-asked");
    todo.classList.remove("is-done");
  }

  drawSaved(state) {
    const refused = state.refused && { ...state.refused, n: this.state.cases.find((line) => line.case === state.refused.case)?.n };
    drawSaved(this.one("[data-saved]"), { ...state, refused });
    if (Boolean(refused) !== Boolean(this.saveState.refused)) this.drawTodo();
    this.saveState = state;
    if (this.waits && !state.pending) this.drawTodo();
    this.waits &&= state.pending > 0;
  }

  // -- what keys and buttons do ------------------------------------------------------------------------------------------

  /** The clock stands while a dialog is read. */
  rest(name) {
    this.report();
    this.clock.stop();
    this.root.classList.toggle("is-paused", name === "paused");
    this.dialogs.rest(name);
  }

  surround() {
    const now = this.root.dataset.viewerSurround ?? "dark";
    this.root.dataset.viewerSurround = SURROUNDS[(SURROUNDS.indexOf(now) + 1) % SURROUNDS.length];
  }

  keepView() {
    this.stage.keepView = !this.stage.keepView;
    this.drawKeepView();
  }

  drawKeepView() {
    this.one("[data-action='keep-view']").setAttribute("aria-pressed", String(this.stage.keepView));
  }

  /** Beside the field that was marked last as a key field, or the shown one beside the next. */
  compare() {
    if (this.stage.held) this.stage.unhold();
    else this.stage.hold(this.lastKey);
  }
}

export function init(root) {
  for (const element of root.querySelectorAll("[data-desk]")) {
    const board = new ReadingBoard(element);
    element.board = board; // for tests
    board.start();
  }
}

init(document);
