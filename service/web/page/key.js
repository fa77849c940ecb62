// The API key: asked for when the service requires one, kept for this tab alone.

import { byId } from "./dom.js";

const STORED_AS = "zh-sentiment-key";

let key = stored();
/** @type {Promise<void> | null} */
let asking = null;

// Storage can be forbidden or full: then the key lasts as long as the page.
function stored() {
  try {
    return sessionStorage.getItem(STORED_AS);
  } catch {
    return null;
  }
}

/** @param {string} given */
function store(given) {
  key = given;
  try {
    sessionStorage.setItem(STORED_AS, given);
  } catch {
    // not stored
  }
}

/** Return the key in use, or null. */
export const currentKey = () => key;

// Everything that waits for a key at the same time gets the same one.
function askForKey() {
  asking ??= new Promise((resolve) => {
    const form = byId("key-form");
    const input = byId("key", HTMLInputElement);
    byId("key-refused").hidden = key === null;
    form.hidden = false;
    input.value = "";
    input.focus();
    form.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        store(input.value.trim());
        form.hidden = true;
        asking = null;
        resolve();
      },
      { once: true },
    );
  });
  return asking;
}

/**
 * Resolve once there is a key other than the one that was refused.
 *
 * @param {string | null} refused
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function newKey(refused, signal) {
  if (refused !== key) return Promise.resolve();
  return new Promise((resolve, reject) => {
    askForKey().then(resolve);
    signal?.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
  });
}
