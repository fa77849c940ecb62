// Requests to the service that the page came from. Addresses are relative, since the service may be
// mounted under a path prefix.

import { currentKey, newKey } from "./key.js";

const MAX_WAIT_SECONDS = 30;
// The service gives up sooner, unless it hangs.
const MAX_ANSWER_SECONDS = 60;
// A stream waits for its turns; the visitor is told, and can cancel it.
const MAX_STREAM_SECONDS = 3600;

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

/**
 * Send a request and read the answer; a problem of the network or the service becomes a `Problem`.
 *
 * @template T
 * @param {string} path
 * @param {RequestInit & { headers: Record<string, string> }} request
 * @param {(response: Response) => Promise<T>} read
 * @param {number} seconds after which it is given up
 * @returns {Promise<T>}
 */
async function once(path, request, read, seconds) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), 1000 * seconds);
  const signal = request.signal ? AbortSignal.any([request.signal, late.signal]) : late.signal;
  let response;
  try {
    response = await fetch(path, { ...request, signal });
    if (response.ok) return await read(response);
  } catch (error) {
    if (late.signal.aborted) throw new Problem(504);
    if (isAbort(error) || error instanceof Problem) throw error;
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

/** Return whether the service answers at all. */
export const isReachable = () =>
  fetch("livez").then(
    ({ status }) => status !== 502,
    () => false,
  );

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
 * Send a request until it is answered. A service that is loading or busy is asked again when it
 * says so, at most `tries` times; `onWait` is told why, and gets null once there is an answer. If
 * the service requires a key, the page asks for one first.
 *
 * @template T
 * @param {string} path
 * @param {RequestInit & { headers: Record<string, string> }} request
 * @param {(response: Response) => Promise<T>} read
 * @param {AskOptions} options
 * @returns {Promise<T>}
 */
async function persist(path, request, read, options) {
  const { signal, onWait = () => {}, tries = 60, seconds = MAX_ANSWER_SECONDS } = options;
  for (let left = tries; ; left--) {
    const key = currentKey();
    const headers = { ...request.headers };
    if (key !== null) headers.authorization = `Bearer ${key}`;
    try {
      const answer = await once(path, { ...request, headers, signal }, read, seconds);
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

/**
 * @typedef {object} AskOptions
 * @property {AbortSignal} [signal]
 * @property {(reason: Problem | null) => void} [onWait]
 * @property {number} [tries]
 * @property {number} [seconds] after which an answer is given up
 */

/**
 * Ask the service and return its answer; see `persist`.
 *
 * @template {keyof Answers} P
 * @param {P} path
 * @param {unknown} [body]
 * @param {AskOptions} [options]
 * @returns {Promise<Answers[P]>}
 */
export function ask(path, body, options = {}) {
  const post = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const request = body === undefined ? { headers: {} } : post;
  return persist(path, request, (response) => response.json(), options);
}

/**
 * Send texts as one stream, and pass each answer on as it comes; see `persist`. A stream waits for
 * room in the service instead of being refused. A browser reads no answer before it has sent the
 * whole body, so the answers must fit into what lies between: a few hundred lines.
 *
 * @param {string[]} texts
 * @param {(result: BatchResult) => void} onResult
 * @param {AskOptions} options
 * @returns {Promise<Problem | null>} why there are fewer answers than texts
 */
export function askStream(texts, onResult, options) {
  const request = {
    method: "POST",
    headers: { "content-type": "application/x-ndjson" },
    body: texts.map((text) => `${JSON.stringify({ text })}\n`).join(""),
  };
  const seconds = MAX_STREAM_SECONDS;
  return persist("v1/predict/stream", request, (response) => readStream(response, onResult), { ...options, seconds });
}

/** @type {(response: Response, onResult: (result: BatchResult) => void) => Promise<Problem | null>} */
async function readStream(response, onResult) {
  let answered = 0;
  // The line before the summary may say why the service broke off, and answers no text then.
  /** @type {BatchResult | null} */
  let last = null;
  for await (const line of linesOf(response)) {
    if (!line.trim()) continue;
    const result = JSON.parse(line);
    const isWhole = !result.summary || result.summary.lines > answered;
    if (last && isWhole) {
      answered += 1;
      onResult(last);
      last = null;
    }
    if (result.summary) return last?.error ? new Problem(last.error.status) : null;
    last = result;
  }
  return new Problem(0); // cut off
}

/** @param {Response} response */
async function* linesOf(response) {
  const decoder = new TextDecoder();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
    if (done) return;
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
