// <button data-copy="#field-id">: copies the field's value and says so in its own text.

async function copyText(field) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(field.value);
    return true;
  }
  field.focus();
  field.select();
  return document.execCommand("copy"); // plain http in a lab's network has no clipboard API
}

export function init(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    const field = root.querySelector(button.dataset.copy);
    const words = button.textContent;
    field.addEventListener("focus", () => field.select());
    button.addEventListener("click", async () => {
      const copied = await copyText(field).catch(() => false);
      if (!copied) field.select();
      button.textContent = copied ? "Copied" : "Press Ctrl+C";
      window.setTimeout(() => { button.textContent = words; }, 2500);
    });
  }
}

init(document);
