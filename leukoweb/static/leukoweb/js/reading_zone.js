// Tells the server the reader's time zone, so that dates of the washout are said in it.

export function init(root) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  for (const input of root.querySelectorAll("[data-time-zone]")) input.value = zone;
}

init(document);
