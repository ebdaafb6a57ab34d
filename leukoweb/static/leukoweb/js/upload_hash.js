// hasher(url) -> hash(file): a promise of the file's SHA-256, or of "" where the browser cannot.

export function hasher(url) {
  const waiting = new Map();
  let next = 0;
  let worker = null;
  try {
    worker = new Worker(url, { type: "module" });
  } catch {
    return async () => ""; // the server hashes what it receives in any case
  }
  worker.addEventListener("message", (event) => {
    waiting.get(event.data.id)?.(event.data.sha256);
    waiting.delete(event.data.id);
  });
  worker.addEventListener("error", () => {
    for (const resolve of waiting.values()) resolve("");
    waiting.clear();
    worker = null;
  });
  return (file) =>
    new Promise((resolve) => {
      if (!worker) return resolve("");
      next += 1;
      waiting.set(next, resolve);
      worker.postMessage({ id: next, file });
    });
}
