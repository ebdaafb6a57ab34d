// The grid of a queue of thousands: only the tiles in sight exist. One focus for the keyboard (aria-activedescendant), so
// the page's keymap moves it and screen readers hear the tile.

const GAP = 8;
const CAPTION = 26;
const SPARE_ROWS = 2;
const SETTLE_MS = 90;
const AGAIN_MS = [2000, 4000, 8000, 16000, 30000]; // until a picture that did not come is asked for again

export class Gallery {
  #nodes = new Map();
  #spare = [];
  #frame = 0;
  #lastTop = 0;
  #settle = 0;
  #again = 0;
  #nAgain = 0;
  #dragged = -1;
  point = null;

  /**
   * @param {HTMLElement} element scrolls and has the focus; holds one child that is as tall as all rows
   * @param {{thumb: (id: string) => string, describe: (item: object) => object, onPick: Function, onOpen: Function,
   *          onDrag: Function, onDragEnd: Function}} hooks
   */
  constructor(element, model, hooks) {
    this.element = element;
    this.room = element.firstElementChild;
    this.model = model;
    this.hooks = hooks;
    this.tile = 200;
    element.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.layout()).observe(element);
    this.#bindPointer();
  }

  #bindPointer() {
    const indexOf = (event) => Number(event.target.closest("[data-index]")?.dataset.index ?? -1);
    this.element.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse") this.point = [event.clientX, event.clientY];
    });
    this.element.addEventListener("pointerleave", () => { this.point = null; });
    this.element.addEventListener("click", (event) => {
      const index = indexOf(event);
      if (index >= 0) this.hooks.onPick(index, event);
    });
    this.element.addEventListener("dblclick", (event) => {
      const index = indexOf(event);
      if (index >= 0) this.hooks.onOpen(index);
    });
    this.element.addEventListener("dragstart", (event) => {
      const index = indexOf(event);
      if (index < 0) return;
      event.dataTransfer.setData("text/plain", "fields");
      event.dataTransfer.effectAllowed = "move";
      this.#dragged = index;
      this.hooks.onDrag(index);
    });
    this.element.addEventListener("dragend", () => { // dropped or given up
      this.#dragged = -1;
      this.hooks.onDragEnd();
      this.draw();
    });
  }

  /** The image under the mouse now, also after the wheel moved the tiles under it; -1 if none. */
  get hovered() {
    const tile = this.point && document.elementFromPoint(...this.point)?.closest("[data-index]");
    return tile && this.element.contains(tile) ? Number(tile.dataset.index) : -1;
  }

  get columns() {
    return Math.max(1, Math.round((this.element.clientWidth - GAP) / (this.tile + GAP)));
  }

  /** The tiles share the width, so a row ends where the gallery does. */
  get width() {
    return Math.floor((this.element.clientWidth - GAP) / this.columns) - GAP;
  }

  get rowHeight() {
    return Math.round(this.width * 0.75) + CAPTION + GAP;
  }

  get rowsInSight() {
    return Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight));
  }

  setTile(size) {
    this.tile = size;
    this.layout();
    this.reveal(this.model.focus);
  }

  /** After the list or the size changed: everything is placed anew. */
  layout() {
    if (!this.element.clientWidth) return;
    const rows = Math.ceil(this.model.shown.length / this.columns);
    this.room.style.setProperty("height", `${rows * this.rowHeight + GAP}px`);
    this.element.style.setProperty("--tile", `${this.width}px`);
    for (const index of [...this.#nodes.keys()]) this.#drop(index);
    this.#drawNow();
  }

  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#drawNow();
    });
  }

  #drawNow() {
    const { scrollTop, clientHeight } = this.element;
    // Flung past: the pictures of tiles that nobody can see are not asked for, until the scrolling slows down.
    const flung = Math.abs(scrollTop - this.#lastTop) > clientHeight * 0.75;
    this.#lastTop = scrollTop;
    const first = Math.max(0, Math.floor(scrollTop / this.rowHeight) - SPARE_ROWS) * this.columns;
    const last = (Math.floor((scrollTop + clientHeight) / this.rowHeight) + SPARE_ROWS + 1) * this.columns;
    const wanted = new Map(this.model.shown.slice(first, last).map((index, at) => [index, first + at]));
    for (const index of [...this.#nodes.keys()]) if (!wanted.has(index) && index !== this.#dragged) this.#drop(index); // a tile that is gone ends no drag
    for (const [index, at] of wanted) if (!this.#nodes.has(index)) this.#add(index, at);
    if (!flung) this.#fetchPictures();
    clearTimeout(this.#settle);
    if (flung) this.#settle = setTimeout(() => this.#fetchPictures(), SETTLE_MS);
  }

  #fetchPictures({ failed = false } = {}) {
    for (const [index, node] of this.#nodes) {
      if (node.failed && !failed) continue; // not with every move: they have a time of their own
      const url = this.hooks.thumb(this.model.items[index].id);
      if (node.picture.getAttribute("src") !== url) node.picture.src = url;
    }
  }

  /** The server or the line is back: pictures that did not come are asked for now. */
  again() {
    clearTimeout(this.#again);
    this.#again = 0;
    this.#fetchPictures({ failed: true });
  }

  /** Whether the picture of an image that would be in sight did not come. */
  failed(index) {
    return this.#nodes.get(index)?.failed ?? false;
  }

  #pictureFailed(node) {
    if (!node.picture.hasAttribute("src")) return; // of a tile that is gone by now
    node.picture.removeAttribute("src");
    this.#markFailed(node, true);
    if (this.#again) return;
    this.#again = setTimeout(() => this.again(), AGAIN_MS[Math.min(this.#nAgain, AGAIN_MS.length - 1)]);
    this.#nAgain += 1;
  }

  #markFailed(node, failed) {
    node.failed = failed;
    node.tile.toggleAttribute("data-failed", failed);
    if (this.#nodes.has(Number(node.tile.dataset.index))) this.paint(Number(node.tile.dataset.index));
  }

  #add(index, at) {
    const node = this.#spare.pop() ?? this.#make();
    const { columns, width } = this;
    node.tile.id = `tile-${index}`;
    node.tile.dataset.index = index;
    node.tile.setAttribute("aria-posinset", at + 1);
    node.tile.setAttribute("aria-setsize", this.model.shown.length);
    const x = GAP + (at % columns) * (width + GAP);
    const y = GAP + Math.floor(at / columns) * this.rowHeight;
    node.tile.style.setProperty("transform", `translate(${x}px, ${y}px)`);
    this.#nodes.set(index, node);
    this.paint(index);
    this.room.append(node.tile);
  }

  #drop(index) {
    const node = this.#nodes.get(index);
    node.tile.remove();
    node.picture.removeAttribute("src");
    this.#nodes.delete(index);
    if (node.failed) this.#markFailed(node, false);
    this.#spare.push(node);
  }

  #make() {
    const tile = document.createElement("div");
    tile.className = "tile";
    tile.setAttribute("role", "option");
    tile.draggable = true;
    const picture = document.createElement("img");
    picture.alt = "";
    picture.decoding = "async";
    picture.draggable = false;
    const caption = document.createElement("span");
    caption.className = "tile-caption";
    const mark = document.createElement("span");
    mark.className = "tile-mark";
    const where = document.createElement("span");
    where.className = "tile-where";
    caption.append(mark, where);
    tile.append(picture, caption);
    const node = { tile, picture, mark, where, failed: false };
    picture.addEventListener("error", () => this.#pictureFailed(node));
    picture.addEventListener("load", () => {
      this.#nAgain = 0;
      if (node.failed) this.#markFailed(node, false);
    });
    return node;
  }

  /** Show an image's verdict, choice and focus as they are now. */
  paint(index) {
    const node = this.#nodes.get(index);
    if (!node) return;
    const item = this.model.items[index];
    const { code, colour, words, where, out } = this.hooks.describe(item);
    node.mark.textContent = code;
    node.mark.hidden = !code;
    node.mark.style.setProperty("--class-color", colour || "transparent");
    node.where.textContent = where;
    node.tile.classList.toggle("is-out", out);
    node.tile.classList.toggle("is-decided", Boolean(code));
    node.tile.classList.toggle("is-focus", index === this.model.focus);
    node.tile.setAttribute("aria-selected", String(this.model.selection.has(index)));
    node.tile.setAttribute("aria-label", `${where}: ${words}${node.failed ? ", not loaded" : ""}`);
  }

  paintAll() {
    for (const index of this.#nodes.keys()) this.paint(index);
    if (this.model.focus >= 0) this.element.setAttribute("aria-activedescendant", `tile-${this.model.focus}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  /** Bring an image into sight with as little scrolling as possible. */
  reveal(index) {
    const at = this.model.place.get(index);
    if (at === undefined) return;
    const top = Math.floor(at / this.columns) * this.rowHeight;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.rowHeight + GAP > scrollTop + clientHeight) {
      this.element.scrollTop = top + this.rowHeight + GAP - clientHeight;
    }
    this.#drawNow();
  }
}
