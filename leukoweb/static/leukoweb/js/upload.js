// The upload page: choose or drop, look at the plan, send, mend what failed, go to the slides.

import { allPages, ApiError, call, putFile } from "./upload_api.js";
import { fromDrop, fromInput, sortOut } from "./upload_files.js";
import { hasher } from "./upload_hash.js";
import { PlanTable } from "./upload_plan_table.js";
import { persistently, Queue } from "./upload_queue.js";
import { Report } from "./upload_report.js";
import { toResume } from "./upload_resume.js";

const MANIFEST_FILES = 1000; // names alone; what the server takes in one request
const PAGE_FILES = 100; // small enough that sending begins at once, large enough for few requests
const POLL_MS = 1500;
const LINE_GONE = "The line is gone. Leave this page open: sending goes on by itself when it is back.";

// The same folder may be chosen twice; two cards with the same names on them are two cards.
const isSame = (one, other) => one.size === other.size && one.file?.lastModified === other.file?.lastModified;

function cameLater(others) {
  const names = others.slice(0, 3).map((file) => file.path).join(", ");
  const rest = others.length > 3 ? ` and ${others.length - 3} more` : "";
  return `Left out, because another file of the same name is in the list already: ${names}${rest}. Put them into a folder of their own, or send them apart.`;
}

class Upload {
  constructor(root) {
    this.root = root;
    this.api = root.dataset.apiUrl;
    this.hash = hasher(root.dataset.hashWorker);
    this.plan = new PlanTable(root);
    this.report = new Report(root);
    this.chosen = [];
    this.resumed = null;
    this.#connect();
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  #connect() {
    const zone = this.part("drop");
    for (const name of ["dragenter", "dragover"]) {
      zone.addEventListener(name, (event) => {
        event.preventDefault();
        zone.classList.add("is-over");
      });
    }
    zone.addEventListener("dragleave", () => zone.classList.remove("is-over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("is-over");
      this.#choose(fromDrop(event.dataTransfer));
    });
    for (const input of this.root.querySelectorAll("input[type=file]")) {
      this.part(input.dataset.button).addEventListener("click", () => input.click());
      input.addEventListener("change", () => {
        this.#choose(Promise.resolve(fromInput(input)));
        input.value = ""; // choosing the same again must count
      });
    }
    this.part("start").addEventListener("click", () => this.#guarded(() => this.#start()));
    this.part("retry").addEventListener("click", () => this.#guarded(() => this.#retry()));
    for (const button of this.root.querySelectorAll("[data-resume]")) {
      button.addEventListener("click", () => this.#askToResume(button));
    }
    for (const button of this.root.querySelectorAll("[data-give-up]")) {
      button.addEventListener("click", () => this.#guarded(() => this.#giveUp(button)));
    }
    window.addEventListener("beforeunload", (event) => {
      if (this.sending || this.queue?.running || this.plan.edited) event.preventDefault();
    });
    for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault()); // beside the zone a browser would open the file
    window.addEventListener("offline", () => {
      if (this.sending) this.report.say(LINE_GONE, true);
    });
    window.addEventListener("online", () => {
      if (this.part("message").textContent === LINE_GONE) this.report.say(""); // what else stands there is still true
    });
  }

  // Errors of whole steps are shown where the eye is; those of single files are listed by the report.
  async #guarded(step) {
    this.report.say("");
    try {
      await step();
    } catch (error) {
      this.report.say(`${error.message} ${error.hint ?? ""}`.trim(), true);
      this.sending = false;
      if (!(error instanceof ApiError) && error.name !== "ZipUnreadable") throw error;
    }
  }

  async #choose(promise) {
    await this.#guarded(async () => {
      const found = await promise;
      const { files, leftOut } = await sortOut(found);
      if (this.resumed) return this.#resume(files);
      const known = new Map(this.chosen.map((file) => [file.path, file]));
      const others = [];
      for (const file of files) {
        const there = known.get(file.path);
        if (there && !isSame(there, file)) others.push(file);
        if (there) continue;
        known.set(file.path, file);
        this.chosen.push(file);
      }
      if (!this.chosen.length) this.report.say("There is no image in what you chose.", true);
      if (others.length) this.report.say(cameLater(others), true);
      this.plan.show(this.chosen, leftOut);
    });
  }

  async #start() {
    const plan = this.plan.read();
    if (!plan || this.opening) return; // a second click while the server still answers the first
    this.opening = true;
    try {
      await this.#open(plan);
    } finally {
      this.opening = false;
    }
  }

  async #open(plan) {
    const target = this.plan.target();
    const slides = [...new Map(plan.map((g) => [g.slide, { patient: g.patient, slide: g.slide }])).values()];
    const opened = await call("POST", this.api, target.slide ? target : { ...target, slides });
    this.batch = opened.id;
    this.#begin(this.chosen); // only now: a refused code leaves the plan open for mending
    const slideOf = new Map(plan.flatMap((group) => group.files.map((file) => [file, group.slide])));
    const archives = this.chosen.filter((file) => file.archive);
    for (const [file, slide] of slideOf) file.slide = slide;
    const files = [...archives, ...this.chosen.filter((file) => !file.archive)];
    await this.#run(files, files);
  }

  // New files are named first, all of them, so that an upload that is cut can be resumed to its last file.
  async #run(untold, unsent) {
    this.untold = [...untold];
    this.unsent = [...unsent];
    await this.#goOn();
  }

  async #goOn() {
    this.sending = true;
    let cut = null;
    try {
      await this.#name();
      await this.#announce();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      cut = error;
    }
    await this.#finish(cut);
  }

  async #name() {
    while (this.untold.length) {
      const page = this.untold.slice(0, MANIFEST_FILES);
      await this.#post(page.map((file) => this.#row(file)));
      this.untold.splice(0, page.length);
    }
  }

  #row(file, sha256 = "") {
    return { path: file.path, size: file.size, sha256, slide: file.slide ?? "", archive: file.archive, member_of: file.memberOf };
  }

  #post(files) {
    return persistently(() => call("POST", `${this.api}${this.batch}/items/`, { files }));
  }

  // Hash a page of files, announce it, hand what the server needs to the queue, go on with the next page.
  async #announce() {
    while (this.unsent.length) {
      const page = this.unsent.slice(0, PAGE_FILES);
      const body = [];
      for (const file of page) {
        body.push(this.#row(file, file.file && !file.archive ? await this.hash(file.file) : ""));
      }
      const { items } = await this.#post(body);
      this.unsent.splice(0, page.length);
      items.forEach((item, index) => this.#enqueue(item, page[index].file));
    }
  }

  #enqueue(item, file) {
    const entry = { item, file, size: item.size, url: `${this.api}${this.batch}/items/${item.id}/` };
    if (item.needed && file) {
      if (item.archive) this.archives.push(entry);
      else this.queue.add([entry]);
    } else if (item.state === "received") {
      this.jobs.push(item.job);
    } else if (!item.member) {
      this.report.settle(entry, item);
    }
  }

  #begin(files) {
    this.sending = true;
    this.plan.edited = false;
    this.archives = [];
    this.jobs = [];
    this.unread = false; // members of archives that are unpacked, and not yet in the report
    this.queue = new Queue({
      progress: (entry, bytes) => this.report.progress(entry, bytes),
      done: (entry, answer) => this.report.settle(entry, answer.item, answer.warnings),
      failed: (entry, error) => this.report.fail(entry, error),
    });
    this.report.begin(files);
    this.part("choose").hidden = true;
    this.part("plan").hidden = true;
    this.part("sending").hidden = false;
    this.part("sending").focus();
  }

  // Archives go one by one after the single files, then their jobs are watched.
  async #finish(cut) {
    for (const entry of this.archives.splice(0)) {
      try {
        const { item } = await persistently(() => putFile(entry.url, entry.file, (bytes) => this.report.progress(entry, bytes)));
        this.report.progress(entry, entry.size);
        this.jobs.push(item.job);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.report.fail(entry, error);
      }
    }
    await this.queue.empty();
    let lost = null;
    try {
      await this.#unpack();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      lost = error;
    }
    const state = await persistently(() => call("GET", `${this.api}${this.batch}/`)).catch(() => null);
    this.sending = false;
    this.report.end(state, { cut: cut ?? lost, left: this.unsent.length });
  }

  /** Follow the archives to their end; what was not followed stays for "Retry failed". */
  async #unpack() {
    while (this.jobs.length) {
      this.unread = true;
      await this.#watch(this.jobs[0]);
      this.jobs.shift();
    }
    if (this.unread) await this.#readMembers();
    this.unread = false;
  }

  async #watch(job) {
    for (;;) {
      const state = await persistently(() => call("GET", `${this.root.dataset.jobsUrl}${job}/`));
      this.report.unpacking(state);
      if (!["queued", "running"].includes(state.status)) return;
      await new Promise((resolve) => window.setTimeout(resolve, POLL_MS));
    }
  }

  async #readMembers() {
    const items = await persistently(() => allPages(`${this.api}${this.batch}/items/`));
    for (const item of items) if (item.member) this.report.settle({ item, size: 0 }, item);
    // The line of a refused archive, above its files', alone says which of them are at fault.
    for (const item of items) {
      if (item.archive && item.state === "refused" && this.report.settled.get(item.id) !== "refused") this.report.settle({ item, size: item.size }, item);
    }
  }

  async #retry() {
    const failed = this.report.takeFailed();
    this.archives.push(...failed.filter((entry) => entry.item.archive));
    this.queue.add(failed.filter((entry) => !entry.item.archive));
    await this.#goOn();
  }

  /** Pressed again it is off: what is dropped then begins an upload of its own. */
  #askToResume(button) {
    this.words ??= this.part("drop-words").textContent;
    this.resumed = this.resumed === button.dataset.resume ? null : button.dataset.resume;
    for (const other of this.root.querySelectorAll("[data-resume]")) {
      other.setAttribute("aria-pressed", String(other.dataset.resume === this.resumed));
    }
    this.part("choose").hidden = false;
    this.part("drop-words").textContent = this.resumed ? "Drop the same folder, files or zip again. Only what is missing is sent." : this.words;
    if (this.resumed) this.part("pick-folder").focus();
  }

  async #resume(files) {
    this.batch = this.resumed;
    const [state, items] = await Promise.all([
      call("GET", `${this.api}${this.batch}/`), allPages(`${this.api}${this.batch}/items/`),
    ]);
    const { known, fresh: unheard, homeless, missing, waiting, met } = toResume(files, items, state);
    if (!waiting.length && !known.length && !(met && unheard.length)) {
      this.report.say("None of these files is missing in that upload. Drop the same folder as the first time.", true);
      return;
    }
    const fresh = met && this.#wanted(unheard, state) ? unheard : [];
    this.resumed = null;
    this.#begin([...known, ...fresh]);
    for (const item of waiting) this.jobs.push(item.job);
    this.report.stillMissing(missing, homeless);
    await this.#run(fresh, [...known, ...fresh]);
  }

  /** Files that the first drop did not bring go where their neighbours went, but not unasked: they may be another patient's. */
  #wanted(fresh, state) {
    if (!fresh.length) return false;
    const slides = new Set(fresh.map((file) => file.slide || state.slides.find(({ id }) => id === state.slide)?.code));
    const into = slides.size === 1 ? `slide ${[...slides][0]}` : `${slides.size} slides, each to the files of its folder`;
    const files = fresh.length === 1 ? "1 file was" : `${fresh.length} files were`;
    return window.confirm(`${files} not part of this upload before. Add to ${into}?\n\nCancel sends only what is missing.`);
  }

  async #giveUp(button) {
    await call("POST", `${this.api}${button.dataset.giveUp}/close/`, {});
    button.closest("li").remove();
    this.report.say("What was stored stays; the rest is not expected any more.");
  }
}

export function init(root) {
  for (const element of root.querySelectorAll("[data-upload]")) element.upload = new Upload(element); // for tests
}

init(document);
