// SHA-256 of files beside the page's own thread. An empty answer means that this browser cannot hash here (plain http).

const HASHED_BYTES_MAX = 64 * 1024 * 1024; // the whole file is read into memory; the server hashes larger ones alone

async function sha256(file) {
  if (!self.crypto?.subtle || file.size > HASHED_BYTES_MAX) return "";
  const digest = await self.crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

self.addEventListener("message", async (event) => {
  const { id, file } = event.data;
  try {
    self.postMessage({ id, sha256: await sha256(file) });
  } catch {
    self.postMessage({ id, sha256: "", unreadable: true }); // removed or changed since it was chosen
  }
});
