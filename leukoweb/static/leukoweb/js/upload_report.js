// How far the upload is, what went wrong with which file, and where the images are at the end.

import { inWords } from "./upload_plan_table.js";

const REDRAW_MS = 250;
const RATE_WINDOW_MS = 15000;

function timeLeft(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
}

export class Report {
  constructor(root) {
    this.root = root;
    this.failed = new Map();
    this.settled = new Map();
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  say(text, bad = false) {
    const box = this.part("message");
    box.textContent = text;
    box.hidden = !text;
    box.className = `alert ${bad ? "alert-danger" : "alert-info"}`;
    if (text) box.scrollIntoView({ block: "nearest" });
  }

  begin(files) {
    this.files = files.filter((file) => !file.archive).length;
    this.bytes = files.filter((file) => file.file).reduce((sum, file) => sum + file.size, 0);
    this.gone = new Map();
    this.samples = [[performance.now(), 0]];
    this.part("done").hidden = true;
    this.#draw();
  }

  progress(entry, bytes) {
    this.gone.set(entry.item.id, Math.min(bytes, entry.size));
    this.#drawSoon();
  }

  settle(entry, item, warnings = []) {
    this.gone.set(item.id, entry.size);
    this.settled.set(item.id, item.state);
    if (item.state === "refused") this.#row(item, item, true);
    for (const warning of warnings) this.#row(item, warning);
    this.#drawSoon();
  }

  fail(entry, error) {
    this.gone.set(entry.item.id, entry.size);
    if (error.again) this.failed.set(entry.item.id, entry);
    this.settled.set(entry.item.id, error.again ? "failed" : "refused");
    this.#row(entry.item, { code: error.code, message: error.message, hint: error.hint }, true);
    if (error.status === 401) this.say("You were signed out. Sign in in another tab, then press “Retry failed”.", true);
    this.#drawSoon();
  }

  takeFailed() {
    const entries = [...this.failed.values()];
    this.failed.clear();
    for (const entry of entries) {
      this.gone.set(entry.item.id, 0);
      this.settled.delete(entry.item.id);
      for (const row of this.root.querySelectorAll(`[data-item="${entry.item.id}"]`)) row.remove();
    }
    this.part("done").hidden = true;
    this.#draw();
    return entries;
  }

  stillMissing(count, homeless) {
    const names = homeless.slice(0, 5).map((file) => file.path).join(", ");
    this.part("missing").textContent = [
      count ? `${count} more file${count === 1 ? "" : "s"} of that upload ${count === 1 ? "was" : "were"} not among these.` : "",
      homeless.length ? `Not part of that upload: ${names}${homeless.length > 5 ? ` and ${homeless.length - 5} more` : ""}. Start a new upload for them.` : "",
    ].join(" ").trim();
  }

  unpacking(job) {
    this.part("words").textContent = `Unpacking the archive: ${job.done_units} of ${job.total_units} images. ${job.note}`;
    if (job.status === "failed") this.say(`${job.error} ${job.hint}`, true);
  }

  // Files that are not in come before remarks on those that are.
  #row(item, what, first = false) {
    this.part("errors").hidden = false;
    const row = this.part("error-rows").insertRow(first ? 0 : -1);
    row.dataset.item = item.id;
    for (const text of [item.path, what.code, what.message, what.hint ?? ""]) {
      row.insertCell().textContent = text;
    }
  }

  count(state) {
    return [...this.settled.values()].filter((one) => one === state).length;
  }

  #drawSoon() {
    this.timer ??= window.setTimeout(() => this.#draw(), REDRAW_MS);
  }

  #draw() {
    window.clearTimeout(this.timer);
    this.timer = undefined;
    const gone = [...this.gone.values()].reduce((sum, bytes) => sum + bytes, 0);
    const now = performance.now();
    this.samples.push([now, gone]);
    while (this.samples.length > 2 && now - this.samples[0][0] > RATE_WINDOW_MS) this.samples.shift();
    const [then, before] = this.samples[0];
    const rate = (gone - before) / Math.max(1, (now - then) / 1000);
    const bar = this.part("bar");
    bar.max = Math.max(1, this.bytes);
    bar.value = gone;
    bar.textContent = `${Math.round((100 * gone) / bar.max)} %`;
    const files = Math.min(this.settled.size, this.files);
    const left = rate > 0 && gone < this.bytes ? timeLeft((this.bytes - gone) / rate) : "";
    this.part("words").textContent =
      `${files} of ${this.files} files, ${inWords(gone)} of ${inWords(this.bytes)}${left ? `, ${left}` : ""}`;
  }

  /** ``state`` null: the server did not tell. ``cut``: why ``left`` files were not announced, if they were not. */
  end(state, { cut, left }) {
    this.#draw();
    const unsent = left ? `${left} file${left === 1 ? " has" : "s have"} not been sent.` : "The server stopped answering before all was done.";
    if (cut) this.say(`${unsent} ${cut.message} ${cut.hint}`.trim(), true);
    if (cut?.status === 401) this.say("You were signed out. Sign in in another tab, then press “Retry failed”.", true);
    const counts = state?.counts ?? { stored: this.count("stored"), duplicate: this.count("duplicate"), refused: this.count("refused") };
    const { stored, duplicate, refused, expected } = counts;
    const words = [`${stored} stored`];
    if (duplicate) words.push(`${duplicate} already there`);
    if (refused) words.push(`${refused} refused`);
    if (expected) words.push(`${expected} still missing`);
    this.part("done-words").textContent = `${words.join(", ")}.`;
    this.part("retry").hidden = !this.failed.size && !cut?.again;
    const list = this.part("slides");
    list.replaceChildren();
    for (const slide of state?.slides ?? []) {
      const link = document.createElement("a");
      link.href = slide.url;
      link.textContent = `Slide ${slide.code}`;
      const run = document.createElement("a");
      run.href = `${slide.url}#runs`;
      run.className = "btn btn-secondary btn-sm";
      run.textContent = "Run the pipeline";
      run.setAttribute("aria-label", `Run the pipeline on slide ${slide.code}`);
      const row = document.createElement("li");
      const words = document.createElement("span");
      words.className = "grow";
      words.append(link, ` of patient ${slide.patient}`);
      row.append(words, run);
      list.append(row);
    }
    this.part("done").hidden = false;
    this.part("done").focus();
  }
}
