// Hold a key to move the image, tap it for something else: the pointer moves the image without a button, arrows too.

const TAP_MS = 350;
const ARROWS = { ArrowLeft: [-0.2, 0], ArrowRight: [0.2, 0], ArrowUp: [0, -0.2], ArrowDown: [0, 0.2] };

export class Hand {
  #held = null;

  /** @param {HTMLElement} stage  @param {() => object|undefined} core the viewer  @param {(event: KeyboardEvent) => void} tap */
  constructor(stage, core, tap) {
    this.stage = stage;
    this.core = core;
    this.tap = tap;
    document.addEventListener("keyup", (event) => this.#release(event));
    document.addEventListener("pointermove", (event) => this.#move(event));
    window.addEventListener("blur", () => this.#stop());
  }

  get held() {
    return this.#held !== null;
  }

  /** The key went down; its repeats mean nothing. */
  hold(event) {
    if (this.#held) return;
    this.#held = { code: event.code, since: event.timeStamp, x: null, y: null, moved: false };
    this.stage.dataset.hand = "";
  }

  /** @returns {boolean} whether the key was an arrow that moved the image */
  arrow(event) {
    if (!this.#held || !(event.key in ARROWS)) return false;
    this.core()?.panBy(...ARROWS[event.key]);
    this.#held.moved = true;
    return true;
  }

  #move(event) {
    const held = this.#held;
    if (held && document.querySelector("dialog[open]")) this.#stop(); // what is done there is not meant for the image
    if (!this.#held || event.buttons) return; // with a button the viewer drags by itself
    if (held.x !== null) {
      this.core()?.dragBy(event.clientX - held.x, event.clientY - held.y);
      held.moved ||= Math.hypot(event.clientX - held.fromX, event.clientY - held.fromY) > 4;
    } else {
      [held.fromX, held.fromY] = [event.clientX, event.clientY];
    }
    [held.x, held.y] = [event.clientX, event.clientY];
  }

  #release(event) {
    if (event.code !== this.#held?.code) return;
    const tapped = !document.querySelector("dialog[open]") && !this.#held.moved && event.timeStamp - this.#held.since < TAP_MS;
    this.#stop();
    if (tapped) this.tap(event);
  }

  #stop() {
    this.#held = null;
    delete this.stage.dataset.hand;
  }
}
