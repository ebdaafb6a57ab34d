// The filters above the images: what can be chosen, and where the keys go afterwards.

/** Slides and cameras have neutral numbers, in the order in which this person meets them. */
export function named(kind, number) {
  if (kind === "slide") return `Slide ${number}`;
  return `Camera ${number <= 26 ? String.fromCharCode(64 + number) : number}`;
}

/** Whether the list of a <select> is open, where it has the keys; a browser that cannot tell is not interfered with. */
function isOpen(select) {
  return !CSS.supports("selector(:open)") || select.matches(":open");
}

/**
 * @param {HTMLElement} root with [data-filter-what], -order, -slide, -camera  @param {{slide: number, camera: number}[]} items
 * @param {{onChange: (change: object) => void, leave: () => void, press: (event: KeyboardEvent) => boolean}} hooks leave: what
 *   was opened with the pointer has done its work; press: whether the board knows the key, and took it
 */
export function bindFilters(root, items, { onChange, leave, press }) {
  for (const name of ["what", "order", "slide", "camera"]) {
    const select = root.querySelector(`[data-filter-${name}]`);
    const isNumber = name === "slide" || name === "camera";
    if (isNumber) {
      const numbers = [...new Set(items.map((item) => item[name]))].sort((a, b) => a - b);
      select.append(...numbers.map((number) => new Option(named(name, number), number)));
      select.closest("label").hidden = numbers.length < 2;
    }
    let byPointer = false;
    select.addEventListener("pointerdown", () => { byPointer = true; });
    select.addEventListener("blur", () => { byPointer = false; });
    // Opened with the pointer and closed as it was: the next key is meant for the images, and the focus goes there with it.
    select.addEventListener("keydown", (event) => { if (byPointer && !isOpen(select) && press(event)) leave(); });
    select.addEventListener("change", () => {
      onChange({ [name]: isNumber ? Number(select.value) : select.value });
      if (byPointer) leave();
    });
  }
  // Likewise the instructions, which a click opens and closes.
  root.querySelector("summary")?.addEventListener("click", (event) => { if (event.detail > 0) leave(); });
}
