// The filmstrip: every field in capture order, small, with a mark on those that were seen.

export class Filmstrip {
  #items = [];
  #current = -1;

  /** @param {HTMLElement} list an <ol>  @param {(index: number) => void} choose called when a field is clicked */
  constructor(list, choose) {
    this.list = list;
    this.choose = choose;
  }

  /** @param {{id: string, position: number, thumb_url: string}[]} images  @param {Set<string>} seen ids */
  fill(images, seen) {
    this.#items = images.map((image, index) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.tabIndex = -1; // one stop for the Tab key: the current field
      button.className = "strip-item";
      const thumb = document.createElement("img");
      thumb.loading = "lazy";
      thumb.decoding = "async";
      thumb.alt = "";
      thumb.width = 96;
      thumb.height = 72;
      thumb.src = image.thumb_url;
      const number = document.createElement("span");
      number.textContent = image.position;
      button.append(thumb, number);
      button.addEventListener("click", () => this.choose(index));
      item.append(button);
      this.#label(button, image, seen.has(image.id));
      return { button, image };
    });
    this.list.replaceChildren(...this.#items.map(({ button }) => button.parentElement));
  }

  #label(button, image, isSeen) {
    button.classList.toggle("is-seen", isSeen);
    button.setAttribute("aria-label", `Field ${image.position}${isSeen ? ", seen" : ""}`);
  }

  markSeen(index) {
    const { button, image } = this.#items[index];
    this.#label(button, image, true);
  }

  /** Move the mark, keep it in sight; the keyboard focus follows only if it was in the strip. */
  setCurrent(index) {
    const before = this.#items[this.#current]?.button;
    const after = this.#items[index].button;
    const follow = before && before === document.activeElement;
    before?.removeAttribute("aria-current");
    if (before) before.tabIndex = -1;
    after.setAttribute("aria-current", "true");
    after.tabIndex = 0;
    if (follow) after.focus({ preventScroll: true });
    this.#keepInSight(after);
    this.#current = index;
  }

  #keepInSight(button) {
    // Not scrollIntoView: that would scroll the page as well.
    const box = this.list.getBoundingClientRect();
    const item = button.getBoundingClientRect();
    this.list.scrollBy({
      left: item.left + item.width / 2 - (box.left + box.width / 2),
      top: item.top + item.height / 2 - (box.top + box.height / 2),
    });
  }
}
