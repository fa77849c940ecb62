// Requests to the service that the page came from. Addresses are relative: it may stand behind a
// path prefix.

import { currentKey, otherKey } from "./key.js";

const LONGEST_WAIT_SECONDS = 30;

// What went wrong. Status 0: no answer came from the service.
export class Problem extends Error {
  constructor(status, body = {}, wait = 1) {
    super(body.detail ?? "no answer");
    this.status = status;
    this.detail = body.detail ?? "";
    this.errors = body.errors;
    this.requestId = body.request_id;
    this.wait = wait;
  }
}

async function once(path, body, signal, key) {
  const request = { signal, headers: {} };
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
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  // A proxy's word for a service that it cannot reach.
  if (response.status === 502) throw new Problem(0);
  const told = await response.json().catch(() => ({}));
  const wait = Number(response.headers.get("retry-after")) || 1;
  throw new Problem(response.status, told, Math.min(wait, LONGEST_WAIT_SECONDS));
}

export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("cancelled", "AbortError"));
    });
  });
}

async function isBroken(signal) {
  const response = await fetch("health", { signal }).catch(() => null);
  const health = await response?.json().catch(() => null);
  return health?.status === "failed";
}

// The answer. A service that loads or is busy is asked again when it says so, `tries` times in all;
// `onWait` hears why, and null once the answer is there. One that asks for a key gets it first.
export async function ask(path, body, { signal, onWait = () => {}, tries = 60 } = {}) {
  for (let left = tries; ; left--) {
    const key = currentKey();
    try {
      const answer = await once(path, body, signal, key);
      onWait(null);
      return answer;
    } catch (error) {
      if (error.status === 401) {
        await otherKey(key, signal);
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

let asked;

// The model that is served and the limits in force.
export function model() {
  asked ??= ask("v1/model").catch((error) => {
    asked = undefined;
    throw error;
  });
  return asked;
}

// The limit of a text in characters; null while nobody can say.
export function longestText() {
  return model().then(
    ({ limits }) => limits.max_text_characters,
    () => null,
  );
}
