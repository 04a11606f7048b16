// Requests to the server that the page came from: JSON, server-sent events, downloads, and errors in words.

const kKey = "coala-key";  // of sessionStorage

export function setKey(key) {
  sessionStorage.setItem(kKey, key);
}

/** Whether requests carry a key, which a link would not. */
export function hasKey() {
  return Boolean(sessionStorage.getItem(kKey));
}

function headers(body) {
  const key = sessionStorage.getItem(kKey);
  return {
    ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    ...(key ? { Authorization: `Bearer ${key}` } : {}),
  };
}

/** An answer that is an error. */
export class ApiError extends Error {
  constructor(status, message, code = "") {
    super(message);
    this.status = status;  // 0: no answer came
    this.code = code;      // a word that says which error it is
  }
}

const asked = [];  // whom to tell that a key is needed

/** Calls `listener` whenever the server wants a key. */
export function onKeyWanted(listener) {
  asked.push(listener);
}

async function errorOf(response) {
  let message = `The server answers with status ${response.status}.`;
  let code = "";
  try {
    ({ message, code } = (await response.json()).error);
  } catch {
    // Something between us and the server may answer in HTML; the status has to do.
  }
  if (response.status === 429) {
    const wait = response.headers.get("Retry-After");
    message += wait && /^\d+$/.test(wait) ? ` Try again in ${wait} s.` : wait ? ` Try again at ${wait}.` : " Try again in a moment.";
  }
  if (response.status === 401) asked.forEach((listener) => listener());
  return new ApiError(response.status, message, code);
}

async function request(method, path, body, signal) {
  let response;
  try {
    response = await fetch(path, {
      method, signal, headers: headers(body), body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store", credentials: "omit", redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. Does it still run?");
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

/** The answer as an object. @throws ApiError */
export async function ask(method, path, body, signal) {
  return (await request(method, path, body, signal)).json();
}

/** The data of server-sent events from pieces of bytes, which may end anywhere, within a character too. */
export async function* events(pieces) {
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  for await (const piece of pieces) {
    rest += decoder.decode(piece, { stream: true });
    let end;
    while ((end = rest.indexOf("\n")) >= 0) {
      const line = rest.slice(0, end).replace(/\r$/, "");
      rest = rest.slice(end + 1);
      if (line.startsWith("data:")) {
        data.push(line.slice(line[5] === " " ? 6 : 5));
      } else if (line === "" && data.length > 0) {
        yield data.join("\n");
        data = [];
      }
    }
  }
}

async function* piecesOf(stream) {
  const reader = stream.getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
  } finally {
    reader.releaseLock();
  }
}

/** The chunks of a streamed answer. @throws ApiError, also for an error within the stream or an early end */
export async function* stream(path, body, signal) {
  const response = await request("POST", path, { ...body, stream: true, stream_options: { include_usage: true } }, signal);
  try {
    for await (const data of events(piecesOf(response.body))) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(response.status, chunk.error.message);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError(0, "The connection broke off before the end of the reply.");
    throw error;
  }
  throw new ApiError(0, "The server ended the stream before the end of the reply.");
}

/** Saves an answer as a file: a link could not send the key. @throws ApiError */
export async function download(path, name) {
  const url = URL.createObjectURL(await (await request("GET", path)).blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);  // the browser may still be reading it
}
