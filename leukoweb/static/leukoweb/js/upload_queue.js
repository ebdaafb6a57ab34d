// Sends files, a few at a time, and tries again after a pause where that can help.

import { ApiError, putFile } from "./upload_api.js";

const AT_ONCE = 4;
const TRIES = 4;
const FIRST_PAUSE_MS = 800;
const OFFLINE_MS = 10000;

const pause = (ms) => new Promise((resolve) => window.setTimeout(resolve, ms));

/** Wait until the browser says that the line is back, or for a while: some say "offline" for ever. Whether it was said. */
const online = () => new Promise((resolve) => {
  const back = () => {
    window.clearTimeout(timer);
    resolve(true);
  };
  const timer = window.setTimeout(() => {
    window.removeEventListener("online", back);
    resolve(false);
  }, OFFLINE_MS);
  window.addEventListener("online", back, { once: true });
});

/** Do it again after a pause where that can help. While the line is gone it is tried now and then, and no try is counted. */
export async function persistently(deed, onFailed = () => {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await deed();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      onFailed();
      if (error.status === 0 && !window.navigator.onLine) {
        if (!(await online())) {
          attempt -= 1;
          continue;
        }
        attempt = 0;
      } else if (!error.again || error.status === 401 || attempt === TRIES) throw error;
      await pause(FIRST_PAUSE_MS * 2 ** Math.max(0, attempt - 1) * (0.75 + Math.random() / 2));
    }
  }
}

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
    const put = () => putFile(entry.url, entry.file, (bytes) => this.on.progress(entry, bytes));
    try {
      this.on.done(entry, await persistently(put, () => this.on.progress(entry, 0)));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.on.failed(entry, error);
    }
  }
}
