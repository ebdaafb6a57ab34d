// Active time: the page is in sight, in focus, and somebody moved something within the last minute.

const TICK_MS = 250;
const LONGEST_TICK_MS = 1000; // a sleeping computer is no reading time
const RESTS_AFTER_MS = 60_000;
const SIGNS_OF_LIFE = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"];

export class ActiveClock {
  #last = performance.now();
  #alive = performance.now();
  #touched = Date.now(); // the clock on the wall goes on while a computer sleeps
  #stopped = false;
  #idleSaid = false;

  /** @param {{tick: (ms: number) => void, idle: () => void, idleMinutes: number}} hooks */
  constructor({ tick, idle, idleMinutes }) {
    this.tick = tick;
    this.idle = idle;
    this.idleMs = idleMinutes * 60_000;
    for (const name of SIGNS_OF_LIFE) {
      document.addEventListener(name, () => this.#moved(), { passive: true, capture: true });
    }
    window.setInterval(() => this.step(), TICK_MS);
  }

  /** The first touch after a long rest finds a locked desk, also where no tick came in between. */
  #moved() {
    this.#rested();
    this.#alive = performance.now();
    this.#touched = Date.now();
  }

  /** Nobody was here for too long: said once, also while the clock stands for a pause. */
  #rested() {
    if (this.#idleSaid || Date.now() - this.#touched <= this.idleMs) return;
    this.#idleSaid = true;
    this.idle();
  }

  /** Count what has passed since the last step; also called before a report, so that no part of a tick is lost. */
  step() {
    const now = performance.now();
    const passed = Math.min(now - this.#last, LONGEST_TICK_MS);
    this.#last = now;
    const quiet = now - this.#alive;
    this.#rested();
    const here = document.visibilityState === "visible" && document.hasFocus();
    if (!this.#stopped && here && quiet < RESTS_AFTER_MS) this.tick(passed);
  }

  stop() {
    this.#stopped = true;
  }

  go() {
    this.#stopped = false;
    this.#idleSaid = false;
    this.#alive = performance.now();
    this.#touched = Date.now();
  }
}
