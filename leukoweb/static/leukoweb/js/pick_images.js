// <form data-pick-images>: ticks a whole page or a range (Shift), and says how many are ticked. Works without, tick by tick.

export function init(root) {
  for (const form of root.querySelectorAll("[data-pick-images]")) {
    const boxes = [...form.querySelectorAll("input[name=images]")];
    const all = form.querySelector("[data-pick-all]");
    const words = form.querySelector("[data-picked]");
    let last = null;

    const tell = () => {
      const n = boxes.filter((box) => box.checked).length;
      words.textContent = n ? `${n} ticked` : "";
      all.checked = n === boxes.length;
      all.indeterminate = n > 0 && n < boxes.length;
    };
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of boxes) box.checked = all.checked;
      tell();
    });
    for (const box of boxes) {
      box.addEventListener("click", (event) => {
        if (event.shiftKey && last) {
          const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
          for (const other of boxes.slice(from, to + 1)) other.checked = box.checked;
        }
        last = box;
        tell();
      });
    }
    tell();
  }
}

init(document);
