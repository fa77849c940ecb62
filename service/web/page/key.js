// The key of a service that asks for one: asked for when the service does, kept for this tab alone.

import { byId } from "./dom.js";

const STORED_AS = "zh-sentiment-key";

let key = stored();
let asking = null;

// Storage can be forbidden or full: then the key lasts as long as the page.
function stored() {
  try {
    return sessionStorage.getItem(STORED_AS);
  } catch {
    return null;
  }
}

function store(given) {
  key = given;
  try {
    sessionStorage.setItem(STORED_AS, given);
  } catch {
    // not stored
  }
}

export const currentKey = () => key;

// Asks for a key; whoever else waits for one meanwhile gets the same.
function asked() {
  asking ??= new Promise((resolve) => {
    const form = byId("key-form");
    const input = byId("key");
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

// Resolves once there is another key than the one that was refused.
export function otherKey(refused, signal) {
  if (refused !== key) return Promise.resolve();
  return new Promise((resolve, reject) => {
    asked().then(resolve);
    signal?.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
  });
}
