// How long somebody really looked: time counts only while the page is in sight and something was done lately.

const IDLE_MS = 60000;

export class ActiveClock {
  #from = performance.now();
  #last = performance.now();
  #sum = 0;

  constructor() {
    for (const name of ["keydown", "pointermove", "pointerdown", "wheel", "scroll"]) {
      document.addEventListener(name, () => this.#touch(), { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#collect(); // back again: the time away was spent on something else
      this.#from = this.#last = performance.now();
    });
  }

  #touch() {
    const now = performance.now();
    if (now - this.#last > IDLE_MS) {
      this.#collect();
      this.#from = now;
    }
    this.#last = now;
  }

  #collect() {
    const end = Math.min(performance.now(), this.#last + IDLE_MS);
    if (end > this.#from) this.#sum += end - this.#from;
    this.#from = performance.now();
  }

  /** Active milliseconds since the last call. */
  lap() {
    if (!document.hidden) this.#collect();
    const sum = this.#sum;
    this.#sum = 0;
    return sum;
  }
}

/** "about 12 min" for so many images at the pace of the last ones; "" while the pace is not known. */
export function timeLeft(nLeft, laps) {
  if (laps.length < 5 || !nLeft) return "";
  const ordered = [...laps].sort((a, b) => a - b);
  const minutes = (nLeft * ordered[Math.floor(ordered.length / 2)]) / 60000;
  if (minutes < 1) return "less than a minute left";
  if (minutes < 90) return `about ${Math.round(minutes)} min left`;
  return `about ${(minutes / 60).toFixed(1)} h left`;
}
