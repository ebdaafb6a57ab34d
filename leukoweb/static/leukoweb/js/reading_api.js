// Talks to the desk of one session: JSON both ways, the CSRF token as it is now, errors with their code.

export class DeskError extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body?.error?.code ?? "";
    this.body = body;
  }

  /** Nothing came back at all, or the server is busy: try again later. */
  get passing() {
    return this.status === 0 || this.status >= 500 || this.status === 429;
  }
}

function csrfToken() {
  return /(?:^|; )(?:__Host-)?csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? "";
}

const PATIENCE_MS = 20_000; // a line that swallows what is sent never says so: it counts as cut, and it is sent again

/** @param {string} url  @param {object | undefined} body sent as POST when given */
export async function ask(url, body, { keepalive = false } = {}) {
  const headers = { Accept: "application/json" };
  const options = { headers, credentials: "same-origin", cache: "no-store", keepalive, signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    headers["X-CSRFToken"] = csrfToken();
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new DeskError(0, { error: { message: "The server cannot be reached." } });
  }
  const found = await response.json().catch(() => null);
  if (!response.ok || found === null) throw new DeskError(response.ok ? 502 : response.status, found);
  return found;
}
