// What the page remembers: choices in this browser, texts and the key in this tab alone.

const PREFIX = "zh-sentiment-";

/** @typedef {"localStorage" | "sessionStorage"} Area */

/**
 * Return what is stored under a name, or null; storage can be forbidden.
 *
 * @param {Area} area
 * @param {string} name
 */
export function stored(area, name) {
  try {
    return globalThis[area].getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/**
 * Store a value, if storage is allowed and not full.
 *
 * @param {Area} area
 * @param {string} name
 * @param {string} value
 */
export function store(area, name, value) {
  try {
    globalThis[area].setItem(PREFIX + name, value);
  } catch {
    // It lasts as long as the page.
  }
}
