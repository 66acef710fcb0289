// Requests to the node that serves this page.

let token = "";

/** Why a request was refused: a code for programs, a message for people. */
export class Problem extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Uses this token from now on. */
export function useToken(text) {
  token = text;
  window.dispatchEvent(new Event("token"));
}

/** The answer to a request; every refusal is a `Problem`. Paths are relative, so that a proxy may put a prefix before them. */
export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, "no_answer", "the node does not answer: is it running?");
  }
  if (response.ok || isReport(response)) return response;
  throw await problem(response);
}

/** The answer as an object. */
export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

// That a node is not ready, or a value not durable, is an answer.
const isReport = (response) => response.status === 503 && response.headers.get("content-type") === "application/json";

async function problem(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // Not from the node itself: something in between answered.
  }
  if (response.status === 401) {
    // A wrong token is refused even where none is needed.
    token = "";
    window.dispatchEvent(new CustomEvent("unauthorised", { detail: told.detail }));
  }
  return new Problem(response.status, told.code ?? "http", told.detail ?? `the answer was ${response.status}`);
}
