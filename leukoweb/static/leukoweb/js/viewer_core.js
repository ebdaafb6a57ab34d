// The one place that knows OpenSeadragon: shows a plain image, pans, zooms, overlays. Needs the vendored classic script
// (openseadragon.min.js) before it. Brightness and contrast change what is displayed, never what is stored or computed.

/**
 * OpenSeadragon adds an inline <style> for phones unless one is marked as present; our policy forbids inline style.
 * The mark is an element of no namespace that a browser knows: even an empty HTML <style> is reported as a violation.
 */
function forestallInlineStyle() {
  if (!document.querySelector("style[data-openseadragon-mobile-css]")) {
    const mark = document.createElementNS("urn:leukoweb:mark", "style");
    mark.setAttribute("data-openseadragon-mobile-css", "viewer.css");
    document.head.append(mark);
  }
}

const OPTIONS = {
  drawer: "canvas", // measured faster than WebGL where there is no GPU
  showNavigationControl: false,
  crossOriginPolicy: false,
  tabIndex: -1, // keys are handled by the page's keymap
  keyboardNavEnabled: false,
  gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, scrollToZoom: true },
  gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true, pinchToZoom: true },
  gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
  zoomPerClick: 2,
  zoomPerDoubleClick: 2,
  zoomPerScroll: 1.25,
  animationTime: 0.2,
  springStiffness: 12,
  blendTime: 0,
  immediateRender: true,
  visibilityRatio: 0.5,
  minZoomImageRatio: 0.8,
  maxZoomPixelRatio: 10,
  maxImageCacheCount: 24, // levels, about four images: a full-size level is 8 MB decoded
};

export class FieldViewer {
  #osd;
  #adjust = { brightness: 1, contrast: 1 };
  #adding = false;
  #wanted = null;
  #listeners = new Set();

  /** @param {HTMLElement} element with a size of its own  @param {{label?: string, navigator?: boolean}} options */
  constructor(element, { label = "Microscope field", navigator = false } = {}) {
    if (!globalThis.OpenSeadragon) throw new Error("openseadragon.min.js must be loaded before viewer_core.js is used.");
    forestallInlineStyle();
    this.#osd = new globalThis.OpenSeadragon({
      ...OPTIONS,
      element,
      showNavigator: navigator,
      navigatorPosition: "BOTTOM_RIGHT",
      navigatorSizeRatio: 0.16,
      navigatorAutoFade: false,
    });
    this.#osd.canvas.setAttribute("role", "img");
    this.label = label;
    for (const name of ["update-viewport", "resize", "animation-finish"]) {
      this.#osd.addHandler(name, () => this.#listeners.forEach((listener) => listener(this)));
    }
  }

  set label(text) {
    this.#osd.canvas.setAttribute("aria-label", text);
  }

  /**
   * Show an image. While it loads the earlier one stays. Asked again meanwhile, the older download is given up: one that
   * hangs holds up nothing.
   * @param {string} url  @param {{keepView?: boolean}} options keepView: same place and zoom as before, else fit
   * @returns {Promise<boolean>} true once shown, false if a newer call took its place; rejects if it cannot be loaded
   */
  open(url, { keepView = false } = {}) {
    const older = this.#wanted;
    return new Promise((resolve, reject) => {
      const image = new Image();
      const job = { url, keepView, image, resolve, reject, here: false };
      this.#wanted = job;
      image.addEventListener("load", () => {
        job.here = true;
        this.#add();
      });
      image.addEventListener("error", () => {
        if (this.#wanted !== job) return;
        this.#wanted = null;
        reject(new Error("The image could not be loaded."));
      });
      image.src = url;
      if (older) {
        older.image.removeAttribute("src");
        older.resolve(false);
      }
    });
  }

  /** Hand the newest image to OpenSeadragon, which waits for what it was given first: only images that are here already. */
  #add() {
    const job = this.#wanted;
    if (this.#adding || !job?.here) return;
    this.#wanted = null;
    this.#adding = true;
    const first = this.#osd.world.getItemCount() === 0;
    let view = null;
    // Taken at the last moment, so that a move during the download counts; OpenSeadragon goes home by itself.
    const remember = () => { view = first ? null : this.getView(); };
    this.#osd.world.addOnceHandler("remove-item", remember);
    const done = (settle) => {
      this.#osd.world.removeHandler("remove-item", remember);
      settle();
      this.#adding = false;
      this.#add();
    };
    this.#osd.addTiledImage({
      tileSource: { type: "image", url: job.url },
      index: 0,
      replace: !first,
      success: () => {
        if (view && job.keepView) this.setView(view);
        else this.fit({ at_once: true });
        this.#listeners.forEach((listener) => listener(this));
        done(() => job.resolve(!this.#wanted));
      },
      error: () => done(() => job.reject(new Error("The image could not be loaded."))),
    });
  }

  /** Call ``listener(viewer)`` whenever the view moves or its size changes; returns a function that stops it. */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Screen pixels (CSS) per image pixel; 0 while nothing is shown. */
  get imageScale() {
    const item = this.#osd.world.getItemAt(0);
    return item ? item.viewportToImageZoom(this.#osd.viewport.getZoom(true)) : 0;
  }

  /** Whether the whole field is in sight. */
  get isWhole() {
    return this.#osd.viewport.getZoom() <= this.#osd.viewport.getHomeZoom() * 1.02;
  }

  /** Width and height of the shown image in its own pixels, or null. */
  get imageSize() {
    const size = this.#osd.world.getItemAt(0)?.getContentSize();
    return size ? { width: size.x, height: size.y } : null;
  }

  /** What is in sight, in units of the image's width; hand it to ``setView`` of another viewer to link two. */
  getView() {
    const { x, y, width, height } = this.#osd.viewport.getBounds(true);
    return { x, y, width, height };
  }

  setView({ x, y, width, height }) {
    this.#osd.viewport.fitBounds(new globalThis.OpenSeadragon.Rect(x, y, width, height), true);
  }

  zoomBy(factor) {
    this.#osd.viewport.zoomBy(factor);
    this.#osd.viewport.applyConstraints();
  }

  /** Move by a share of the sight: ``panBy(0.25, 0)`` looks a quarter further right. */
  panBy(across, down) {
    const { width, height } = this.#osd.viewport.getBounds();
    this.#osd.viewport.panBy(new globalThis.OpenSeadragon.Point(across * width, down * height));
    this.#osd.viewport.applyConstraints();
  }

  /** Move the image by CSS pixels, as a hand would. */
  dragBy(across_px, down_px) {
    const moved = new globalThis.OpenSeadragon.Point(-across_px, -down_px);
    this.#osd.viewport.panBy(this.#osd.viewport.deltaPointsFromPixels(moved), true);
    this.#osd.viewport.applyConstraints(true);
  }

  fit({ at_once = false } = {}) {
    this.#osd.viewport.goHome(at_once);
  }

  /** One image pixel on one CSS pixel. */
  actualSize() {
    const item = this.#osd.world.getItemAt(0);
    if (item) this.#osd.viewport.zoomTo(item.imageToViewportZoom(1));
  }

  /** Factors for display, 1 = as it is. Overlays keep their own colours. */
  setAdjust({ brightness, contrast }) {
    this.#adjust = { brightness, contrast };
    const plain = brightness === 1 && contrast === 1;
    this.#osd.drawer.canvas.style.filter = plain ? "" : `brightness(${brightness}) contrast(${contrast})`;
  }

  get adjust() {
    return { ...this.#adjust };
  }

  set navigatorShown(shown) {
    const element = this.#osd.navigator?.element;
    if (element) element.hidden = !shown;
  }

  /**
   * Lay an image (Grad-CAM) over the whole field. It moves with the view and has its own opacity.
   * @param {string} url  @param {{opacity?: number, alt?: string}} options
   * @returns {{element: HTMLImageElement, setOpacity(o: number): void, setUrl(u: string): void, remove(): void}}
   */
  addOverlayImage(url, { opacity = 0.5, alt = "" } = {}) {
    const element = document.createElement("img");
    element.className = "viewer-overlay";
    element.alt = alt;
    element.draggable = false;
    element.src = url;
    element.style.opacity = opacity;
    const size = this.imageSize ?? { width: 1, height: 1 };
    const location = new globalThis.OpenSeadragon.Rect(0, 0, 1, size.height / size.width);
    this.#osd.addOverlay({ element, location, checkResize: false });
    return {
      element,
      setOpacity: (value) => { element.style.opacity = value; },
      setUrl: (value) => { element.src = value; },
      remove: () => this.#osd.removeOverlay(element),
    };
  }

  destroy() {
    this.#listeners.clear();
    this.#osd.destroy();
  }
}

/** ``createViewer(element, {label, navigator})``: see FieldViewer. */
export function createViewer(element, options) {
  return new FieldViewer(element, options);
}

/** Keeps the newest few images decoded, so that the next field appears at once. */
export class Prefetcher {
  #images = new Map();

  constructor(room = 8) {
    this.room = room;
  }

  /** Fetch and decode; a failure is left for the viewer to report when the image is asked for. */
  fetch(urls) {
    for (const url of urls) {
      if (this.#images.has(url)) continue;
      const image = new Image();
      image.decoding = "async";
      image.src = url;
      image.decode().catch(() => this.#images.delete(url));
      this.#images.set(url, image);
    }
    for (const url of this.#images.keys()) {
      if (this.#images.size <= this.room) break;
      this.#images.delete(url);
    }
  }
}
