// Answers that the visitor has marked as right or wrong, kept in this tab until it is closed, and
// saved as a file that `sentiment train` takes.

import { saveCsv } from "./dom.js";
import { store, stored } from "./storage.js";

/** @typedef {{ label: Label, marked: "right" | "wrong" }} Mark */

const KEPT = "corrections";

/** @type {Map<string, Mark>} */
const marks = new Map(kept());
/** @type {(() => void)[]} */
const listeners = [];
// The marked texts that are in no file yet: leaving the page would lose them.
/** @type {Set<string>} */
const unsaved = new Set();

/** @returns {[string, Mark][]} */
function kept() {
  try {
    return JSON.parse(stored("sessionStorage", KEPT) ?? "[]");
  } catch {
    return [];
  }
}

function changed() {
  store("sessionStorage", KEPT, JSON.stringify([...marks]));
  for (const listener of listeners) listener();
}

/**
 * Keep the label that a text should have; `answered` is the one that the service gave.
 *
 * @type {(text: string, label: Label, answered: Label) => void}
 */
export function markText(text, label, answered) {
  marks.set(text, { label, marked: label === answered ? "right" : "wrong" });
  unsaved.add(text);
  changed();
}

/** @param {string} text */
export function unmarkText(text) {
  marks.delete(text);
  unsaved.delete(text);
  changed();
}

/** @param {string} text */
export const markOf = (text) => marks.get(text);

export const countMarks = () => marks.size;

/**
 * Note that the marks of these texts are in a file.
 *
 * @param {Iterable<string>} texts
 */
export function marksSaved(texts) {
  for (const text of texts) unsaved.delete(text);
}

addEventListener("beforeunload", (event) => {
  if (unsaved.size) event.preventDefault();
});

/**
 * Call a function whenever a text is marked or no longer so.
 *
 * @param {() => void} listener
 */
export function onMarks(listener) {
  listeners.push(listener);
}

/** Save the marked texts as a CSV file: text, label, and whether the answer was right or wrong. */
export function saveMarks() {
  const rows = [...marks].map(([text, { label, marked }]) => [text, label, marked]);
  saveCsv("corrections.csv", [["text", "label", "marked"], ...rows]);
  marksSaved(marks.keys());
}
