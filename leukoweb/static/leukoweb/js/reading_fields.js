// The pixels of the fields, kept in the page's memory only: the server forbids any cache to hold them.

import { DeskError } from "./reading_api.js";

const PATIENCE_MS = 60_000; // a large field on a slow line comes within it; one that hangs is asked for again

export class FieldImages {
  #kept = new Map(); // token -> Promise of an object URL
  decoded = new Map(); // token -> image

  /** @param {(token: string) => string} url */
  constructor(url) {
    this.url = url;
  }

  /** An object URL of the field, fetched once. Throws a DeskError where the desk is locked or the field is gone. */
  get(token) {
    const kept = this.#kept.get(token);
    if (kept) return kept;
    const fetched = this.#fetch(token, () => this.#kept.get(token) === fetched);
    this.#kept.set(token, fetched);
    fetched.catch(() => { if (this.#kept.get(token) === fetched) this.#kept.delete(token); });
    return fetched;
  }

  /** ``wanted()``: whether this fetch is still the kept one; where it was let go meanwhile, its pixels are not held. */
  async #fetch(token, wanted) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(this.url(token), { cache: "no-store", credentials: "same-origin", signal });
    if ([401, 404].includes(response.status)) throw new DeskError(response.status, await response.json().catch(() => null));
    if (!response.ok || !response.headers.get("Content-Type")?.startsWith("image/")) throw new Error("not loadable");
    const address = URL.createObjectURL(await response.blob());
    const image = new Image();
    image.src = address;
    try {
      await image.decode();
    } catch (error) {
      URL.revokeObjectURL(address);
      throw error;
    }
    if (wanted()) this.decoded.set(token, image); // holding it keeps the decoded pixels near
    return address;
  }

  /** Fetch and decode ahead; a failure shows when the field is asked for. */
  ahead(tokens) {
    for (const token of tokens) this.get(token).catch(() => undefined);
  }

  /** Let go of everything but these. */
  keepOnly(tokens) {
    const wanted = new Set(tokens);
    for (const [token, fetched] of this.#kept) {
      if (wanted.has(token)) continue;
      this.#kept.delete(token);
      this.decoded.delete(token);
      fetched.then((address) => URL.revokeObjectURL(address), () => undefined);
    }
  }
}
