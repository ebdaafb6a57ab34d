// The filters above the images: what can be chosen, and where the keys go afterwards.

/** Slides and cameras have neutral numbers, in the order in which this person meets them. */
export function named(kind, number) {
  if (kind === "slide") return `Slide ${number}`;
  return `Camera ${number <= 26 ? String.fromCharCode(64 + number) : number}`;
}

/**
 * @param {HTMLElement} root with [data-filter-what], -order, -slide, -camera  @param {{slide: number, camera: number}[]} items
 * @param {(change: object) => void} onChange  @param {() => void} leave a filter was chosen with the pointer: its keys are done
 */
export function bindFilters(root, items, onChange, leave) {
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
    select.addEventListener("keydown", () => { byPointer = false; });
    select.addEventListener("change", () => {
      onChange({ [name]: isNumber ? Number(select.value) : select.value });
      if (byPointer) leave();
    });
  }
}
