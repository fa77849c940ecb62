// The page's language: its words, numbers and sentences for problems.

import { en } from "./en.js";
import { initialView, keepView } from "./link.js";
import { store, stored } from "./storage.js";
import { zh } from "./zh.js";

/** @typedef {keyof typeof en} Key */

/** @type {Record<string, typeof en>} */
const LANGUAGES = { en, zh };
/** @type {(() => void)[]} */
const listeners = [];

// That of a link holds in this tab alone.
let language =
  initialView().lang ??
  stored("localStorage", "language") ??
  (navigator.language.startsWith("zh") ? "zh" : "en");
if (!Object.hasOwn(LANGUAGES, language)) language = "en";

/** Return the language, "en" or "zh". */
export const currentLanguage = () => language;

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

// One decimal everywhere, so that numbers can be compared at a glance.
const ONE_DECIMAL = { minimumFractionDigits: 1, maximumFractionDigits: 1 };

/** @param {number} n */
export const oneDecimal = (n) => n.toLocaleString(locale(), ONE_DECIMAL);

/** @param {number} n */
export const twoDecimals = (n) =>
  n.toLocaleString(locale(), { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** @param {number} share */
export const percent = (share) =>
  share.toLocaleString(locale(), { style: "percent", ...ONE_DECIMAL });

/**
 * Format percentage points with their sign: a true minus, and none before zero.
 *
 * @param {number} difference
 */
export function points(difference) {
  const digits = oneDecimal(Math.abs(difference) * 100);
  if (!Number(digits)) return digits;
  return (difference > 0 ? "+" : "−") + digits;
}

/** @param {number} seconds */
export const duration = (seconds) =>
  seconds < 1
    ? `${wholeNumber(Math.max(1, Math.round(seconds * 1000)))} ms`
    : `${oneDecimal(seconds)} s`;

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
  store("localStorage", "language", language);
  keepView({ lang: language });
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
