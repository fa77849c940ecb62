// The page's language: its words, numbers and sentences for problems.

import { en } from "./en.js";
import { zh } from "./zh.js";

/** @typedef {keyof typeof en} Key */

/** @type {Record<string, typeof en>} */
const LANGUAGES = { en, zh };
/** @type {(() => void)[]} */
const listeners = [];

/**
 * Return a stored choice, or null; storage can be forbidden or full.
 *
 * @param {string} key
 */
export function remembered(key) {
  try {
    return localStorage.getItem(`zh-sentiment-${key}`);
  } catch {
    return null;
  }
}

/** @type {(key: string, value: string) => void} */
export function remember(key, value) {
  try {
    localStorage.setItem(`zh-sentiment-${key}`, value);
  } catch {
    // not remembered
  }
}

let language = remembered("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
if (!LANGUAGES[language]) language = "en";

/** Return the language's tag. */
export const locale = () => (language === "zh" ? "zh-CN" : "en");

/**
 * Return words in the current language.
 *
 * @param {Key} key
 * @param {...any} values
 * @returns {any} a string, but for the groups of words that `en` has under one key
 */
export function t(key, ...values) {
  /** @type {unknown} */
  const text = LANGUAGES[language][key];
  return typeof text === "function" ? text(...values) : text;
}

/**
 * Return the sentence for a problem; `limit` is the maximum length of a text.
 *
 * @param {Failure} problem
 * @param {number | null} [limit]
 * @returns {string}
 */
export function problemText(problem, limit) {
  const sentences = t("problem");
  const half = problem.errors?.some(({ type }) => type === "string_unicode");
  const kind = problem.broken ? "broken" : half ? "halfCharacter" : problem.status;
  return (sentences[kind] ?? sentences[500])(limit && wholeNumber(limit), problem.requestId);
}

/**
 * Return why an answer is waited for.
 *
 * @param {{ status: number, wait: number }} problem
 * @returns {string}
 */
export function waitingText(problem) {
  return t("waiting")[problem.status](problem.wait);
}

/** @param {number} n */
export const wholeNumber = (n) => n.toLocaleString(locale());

/** @param {number} share */
export const percent = (share) =>
  share.toLocaleString(locale(), { style: "percent", maximumFractionDigits: 1 });

/** @param {number} n */
export const oneDecimal = (n) =>
  n.toLocaleString(locale(), { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/**
 * Format percentage points with their sign: a true minus, and none before zero.
 *
 * @param {number} difference
 */
export function points(difference) {
  const rounded = Math.round(difference * 1000) / 10;
  if (!rounded) return "0";
  const digits = Math.abs(rounded).toLocaleString(locale(), { maximumFractionDigits: 1 });
  return (rounded > 0 ? "+" : "−") + digits;
}

/**
 * Call a function whenever the language changes.
 *
 * @param {() => void} listener
 */
export function onLanguage(listener) {
  listeners.push(listener);
}

/** Switch to the other language. */
export function otherLanguage() {
  language = language === "zh" ? "en" : "zh";
  remember("language", language);
  tellLanguage();
}

/** Write the words of the page, and tell those that draw more. */
export function tellLanguage() {
  document.documentElement.lang = locale();
  document.title = t("title");
  for (const node of document.querySelectorAll("[data-t]")) {
    node.textContent = t(/** @type {Key} */ (node.getAttribute("data-t")));
  }
  for (const node of document.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", t(/** @type {Key} */ (node.getAttribute("data-t-label"))));
  }
  for (const listener of listeners) listener();
}
