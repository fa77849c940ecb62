// The API key: asked for when the service requires one, kept for this tab alone.

import { byId } from "./dom.js";
import { store, stored } from "./storage.js";

let key = stored("sessionStorage", "key");
/** @type {Promise<void> | null} */
let asking = null;

/** Return the key in use, or null. */
export const currentKey = () => key;

/**
 * Let the forms be of no use until there is a key.
 *
 * @param {boolean} locked
 */
function setLocked(locked) {
  for (const panel of document.querySelectorAll("[role=tabpanel]")) {
    /** @type {HTMLElement} */ (panel).inert = locked;
  }
}

// Everything that waits for a key at the same time gets the same one.
function askForKey() {
  asking ??= new Promise((resolve) => {
    const form = byId("key-form");
    const input = byId("key", HTMLInputElement);
    byId("key-refused").hidden = key === null;
    form.hidden = false;
    setLocked(true);
    input.value = "";
    input.focus();
    form.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        key = input.value.trim();
        store("sessionStorage", "key", key);
        form.hidden = true;
        setLocked(false);
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
