// Requests to the service that the page came from. Addresses are relative, since the service may be
// mounted under a path prefix.

import { currentKey, newKey } from "./key.js";

const MAX_WAIT_SECONDS = 30;
// The service gives up sooner, unless it hangs.
const MAX_ANSWER_SECONDS = 60;

/** What went wrong. Status 0: no answer came from the service. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {ProblemBody} body
   * @param {number} wait seconds until another try may succeed
   */
  constructor(status, body = {}, wait = 1) {
    super(body.detail ?? "no answer");
    this.status = status;
    this.detail = body.detail ?? "";
    this.errors = body.errors;
    this.requestId = body.request_id;
    this.wait = wait;
    /** Whether the service has given up loading its model. */
    this.broken = false;
  }
}

/** @type {(path: string, body: unknown, signal: AbortSignal | undefined, key: string | null) => Promise<any>} */
async function once(path, body, signal, key) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), 1000 * MAX_ANSWER_SECONDS);
  /** @type {RequestInit & { headers: Record<string, string> }} */
  const request = { signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal, headers: {} };
  if (key !== null) request.headers.authorization = `Bearer ${key}`;
  if (body !== undefined) {
    request.method = "POST";
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, request);
    if (response.ok) return await response.json();
  } catch (error) {
    if (late.signal.aborted) throw new Problem(504);
    if (isAbort(error)) throw error;
    throw new Problem(0);
  } finally {
    clearTimeout(timer);
  }
  // A proxy answers so for a service that it cannot reach.
  if (response.status === 502) throw new Problem(0);
  const problem = await response.json().catch(() => ({}));
  const wait = Number(response.headers.get("retry-after")) || 1;
  throw new Problem(response.status, problem, Math.min(wait, MAX_WAIT_SECONDS));
}

/** @param {unknown} error */
const isAbort = (error) => error instanceof Error && error.name === "AbortError";

/** @type {(seconds: number, signal?: AbortSignal) => Promise<void>} */
function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("cancelled", "AbortError"));
    });
  });
}

/** @param {AbortSignal} [signal] */
async function isBroken(signal) {
  const response = await fetch("health", { signal }).catch(() => null);
  const health = await response?.json().catch(() => null);
  return health?.status === "failed";
}

/**
 * Ask the service and return its answer. A service that is loading or busy is asked again when it
 * says so, at most `tries` times; `onWait` is told why, and gets null once there is an answer. If
 * the service requires a key, the page asks for one first.
 *
 * @template {keyof Answers} P
 * @param {P} path
 * @param {unknown} [body]
 * @param {{ signal?: AbortSignal, onWait?: (reason: Problem | null) => void, tries?: number }} [options]
 * @returns {Promise<Answers[P]>}
 */
export async function ask(path, body, { signal, onWait = () => {}, tries = 60 } = {}) {
  for (let left = tries; ; left--) {
    const key = currentKey();
    try {
      const answer = await once(path, body, signal, key);
      onWait(null);
      return answer;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 401) {
        await newKey(key, signal);
        continue;
      }
      const passing = error.status === 429 || error.status === 503;
      if (!passing || left <= 1) throw error;
      if (error.status === 503 && (await isBroken(signal))) {
        error.broken = true;
        throw error;
      }
      onWait(error);
      await sleep(error.wait, signal);
    }
  }
}

/** @type {Promise<ServedModel> | undefined} */
let asked;

/** Return the served model and the limits in force, asked for once. */
export function model() {
  asked ??= ask("v1/model").catch((error) => {
    asked = undefined;
    throw error;
  });
  return asked;
}

/** Return the maximum length of a text in characters; null while it is unknown. */
export function maxTextCharacters() {
  return model().then(
    ({ limits }) => limits.max_text_characters,
    () => null,
  );
}
