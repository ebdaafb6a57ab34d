// A scale bar of a round length, or the word "uncalibrated" where the pixel size is not known.

/** The largest 1, 2 or 5 times a power of ten that is not above ``limit`` (same unit). */
export function niceLength(limit) {
  if (!(limit > 0)) return 0;
  const power = 10 ** Math.floor(Math.log10(limit));
  const factor = [5, 2, 1].find((candidate) => candidate * power <= limit * (1 + 1e-9));
  return Number((factor * power).toPrecision(1));
}

/** "20 µm", "0.5 µm", "1 mm" */
export function lengthText(um) {
  return um >= 1000 ? `${um / 1000} mm` : `${um} µm`;
}

export class ScaleBar {
  /** @param {HTMLElement} element with [data-scale-line] and [data-scale-text]  @param {number} pixelSizeUm NaN: unknown */
  constructor(element, pixelSizeUm, { maxWidthPx = 150 } = {}) {
    this.line = element.querySelector("[data-scale-line]");
    this.text = element.querySelector("[data-scale-text]");
    this.pixelSizeUm = pixelSizeUm > 0 ? pixelSizeUm : NaN;
    this.maxWidthPx = maxWidthPx;
    this.line.hidden = Number.isNaN(this.pixelSizeUm);
    this.text.textContent = this.line.hidden ? "uncalibrated" : "";
  }

  /** @param {number} imageScale screen pixels per image pixel */
  update(imageScale) {
    if (this.line.hidden || !(imageScale > 0)) return;
    const umPerScreenPx = this.pixelSizeUm / imageScale;
    const um = niceLength(this.maxWidthPx * umPerScreenPx);
    this.line.style.setProperty("width", `${um / umPerScreenPx}px`);
    this.text.textContent = lengthText(um);
  }
}
