// The pixels of the fields, kept in the page's memory only: the server forbids any cache to hold them.

import { DeskError } from "./reading_api.js";

export class FieldImages {
  #kept = new Map(); // token -> Promise of an object URL

  /** @param {(token: string) => string} url */
  constructor(url) {
    this.url = url;
  }

  /** An object URL of the field, fetched once. Throws a DeskError where the desk is locked or the field is gone. */
  get(token) {
    if (!this.#kept.has(token)) {
      const fetched = this.#fetch(token);
      this.#kept.set(token, fetched);
      fetched.catch(() => this.#kept.delete(token));
    }
    return this.#kept.get(token);
  }

  async #fetch(token) {
    const response = await fetch(this.url(token), { cache: "no-store", credentials: "same-origin" });
    if ([401, 404].includes(response.status)) throw new DeskError(response.status, await response.json().catch(() => null));
    if (!response.ok || !response.headers.get("Content-Type")?.startsWith("image/")) throw new Error("not loadable");
    const address = URL.createObjectURL(await response.blob());
    const image = new Image();
    image.src = address;
    await image.decode();
    image.dataset.token = token;
    this.decoded ??= new Map();
    this.decoded.set(token, image); // holding it keeps the decoded pixels near
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
      this.decoded?.delete(token);
      fetched.then((address) => URL.revokeObjectURL(address), () => undefined);
    }
  }
}
