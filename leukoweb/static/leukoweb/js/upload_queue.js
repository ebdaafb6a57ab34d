// Sends files, a few at a time, and tries again after a pause where that can help.

import { ApiError, putFile } from "./upload_api.js";

const AT_ONCE = 4;
const TRIES = 4;
const FIRST_PAUSE_MS = 800;

const pause = (ms) => new Promise((resolve) => window.setTimeout(resolve, ms));

export class Queue {
  // on: {progress(entry, bytes), done(entry, answer), failed(entry, error)}
  constructor(on) {
    this.on = on;
    this.waiting = [];
    this.running = 0;
    this.idle = [];
  }

  add(entries) {
    this.waiting.push(...entries);
    while (this.running < AT_ONCE && this.waiting.length) {
      this.running += 1;
      this.#work();
    }
  }

  // Resolves when nothing runs or waits.
  empty() {
    return this.running ? new Promise((resolve) => this.idle.push(resolve)) : Promise.resolve();
  }

  async #work() {
    while (this.waiting.length) await this.#send(this.waiting.shift());
    this.running -= 1;
    if (!this.running) for (const resolve of this.idle.splice(0)) resolve();
  }

  async #send(entry) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await putFile(entry.url, entry.file, (bytes) => this.on.progress(entry, bytes));
        return this.on.done(entry, answer);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.on.progress(entry, 0);
        if (!error.again || error.status === 401 || attempt === TRIES) return this.on.failed(entry, error);
        await pause(FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.75 + Math.random() / 2));
      }
    }
  }
}
