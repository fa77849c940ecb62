// A link that holds texts, tab and language in its fragment, which browsers never send; and what
// this tab keeps of them when it is reloaded.

import { store, stored } from "./storage.js";

/**
 * The texts by the name of their field, the open tab, and the language.
 *
 * @typedef {{ tab?: string, lang?: string, text?: string, a?: string, b?: string }} View
 */

const KEPT = "view";
/** @type {(keyof View)[]} */
const NAMES = ["tab", "lang", "text", "a", "b"];

const given = () => new URLSearchParams(location.hash.slice(1));
const inAddress = () => NAMES.filter((name) => given().has(name));

/**
 * Return what the address holds, or null, and take it off: what is typed from now on is not in it.
 *
 * @returns {View | null}
 */
function linked() {
  const view = Object.fromEntries(inAddress().map((name) => [name, given().get(name)]));
  if (!Object.keys(view).length) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return view;
}

/** @returns {View} */
function kept() {
  try {
    return JSON.parse(stored("sessionStorage", KEPT) ?? "{}");
  } catch {
    return {};
  }
}

/** @type {View} */
let view = linked() ?? kept();
keepView({});

/** Return what to show at first. */
export const initialView = () => view;

/** @param {View} change */
export function keepView(change) {
  view = { ...view, ...change };
  store("sessionStorage", KEPT, JSON.stringify(view));
}

/**
 * Return the address of the page with a view in its fragment.
 *
 * @param {View} shown
 */
export function linkTo(shown) {
  const address = new URL(location.href);
  address.hash = new URLSearchParams(shown).toString();
  return address.href;
}

// A link that is followed while the page is open.
addEventListener("hashchange", () => {
  if (inAddress().length) location.reload();
});
