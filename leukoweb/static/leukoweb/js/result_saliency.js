// Fetches a saliency map; where the server first has to compute it, asks again until it is there.

const POLL_MS = 800;
const PATIENCE_MS = 120_000;

const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

async function reason(response) {
  try {
    const { error } = await response.json();
    return `${error.message} ${error.hint}`.trim();
  } catch {
    return `The server answered ${response.status}.`;
  }
}

/**
 * @param {string} url  @param {AbortSignal} signal  @param {() => void} onWait called once if it has to be computed
 * @returns {Promise<string>} an object URL of the PNG, to be revoked by the caller; rejects with what to tell the user
 */
export async function fetchOverlay(url, signal, onWait) {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const response = await fetch(url, { signal, headers: { Accept: "application/json" } });
    if (response.status === 200 && response.headers.get("Content-Type") === "image/png") {
      return URL.createObjectURL(await response.blob());
    }
    if (response.status !== 202) {
      throw new Error(response.redirected ? "Your session has ended. Sign in again." : await reason(response));
    }
    onWait();
    if (Date.now() > until) throw new Error("The saliency map is not ready yet. See the Jobs page for what runs.");
    await pause(POLL_MS, signal);
  }
}
