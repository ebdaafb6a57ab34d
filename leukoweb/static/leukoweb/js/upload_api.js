// The upload API: JSON requests, one PUT per file, and errors that say whether trying again can help.

export class ApiError extends Error {
  constructor(status, body) {
    super(body.message || "The server could not be reached.");
    this.status = status;
    this.code = body.code || "E_NETWORK";
    this.hint = body.hint || "";
    this.body = body;
  }

  get again() {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500
      || ["E_CHECKSUM", "E_INCOMPLETE", "E_CSRF"].includes(this.code);
  }
}

function token() {
  const cookie = /(?:^|; )(?:__Host-)?csrftoken=([^;]*)/.exec(document.cookie);
  return cookie ? cookie[1] : document.querySelector("[name=csrfmiddlewaretoken]").value;
}

function toError(status, text) {
  try {
    return new ApiError(status, JSON.parse(text).error);
  } catch {
    return new ApiError(status, { code: `E_HTTP_${status}`, message: `The server answered ${status} without a reason.` });
  }
}

export async function call(method, url, body, { timeout_ms = 0, headers = {} } = {}) {
  let response;
  try {
    response = await fetch(url, {
      method,
      headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRFToken": token(), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: timeout_ms ? AbortSignal.timeout(timeout_ms) : undefined,
    });
  } catch {
    throw new ApiError(0, { hint: "Check the connection." });
  }
  let text;
  try {
    text = await response.text();
  } catch {
    throw new ApiError(0, { hint: "The answer broke off." });
  }
  if (!response.ok) throw toError(response.status, text);
  return parsed(text);
}

// A page of somebody in between (a proxy that wants a sign-in) comes with a 200, too.
function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(0, { hint: "The answer broke off, or came from somebody in between." });
  }
}

// XMLHttpRequest, because fetch does not tell how much of a body has gone.
export function putFile(url, file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", token());
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => {
      if (request.status < 200 || request.status >= 300) reject(toError(request.status, request.responseText));
      else {
        try {
          resolve(parsed(request.responseText));
        } catch (error) {
          reject(error);
        }
      }
    });
    for (const name of ["error", "abort", "timeout"]) {
      request.addEventListener(name, () => reject(new ApiError(0, { hint: "Check the connection, then retry." })));
    }
    request.send(file);
  });
}

export async function allPages(url) {
  const rows = [];
  for (let page = 1; ; page += 1) {
    const answer = await call("GET", `${url}${url.includes("?") ? "&" : "?"}page_size=500&page=${page}`);
    rows.push(...answer.results);
    if (!answer.next) return rows;
  }
}
