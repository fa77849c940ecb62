// Why a text got its label: what each word or clause adds, and what the gates of the LSTM did.

import { element, explained, scrollable, walkable } from "./dom.js";
import { oneDecimal, percent, t, twoDecimals } from "./texts.js";
import { card, LABELS, pieces, shape, SHAPES } from "./views.js";

// The strongest unit has the full colour, unless it pulls by less than this, in log-odds.
const MIN_FULL_PULL = 0.5;
// What pulls by less is not named.
const MIN_NAMED_PULL = 0.1;
const MOST_NAMED = 3;
const MAX_NAME_LENGTH = 16;

/**
 * Return the label that a unit pulls towards most.
 *
 * @param {Probabilities} contribution
 */
const pulled = (contribution) =>
  LABELS.reduce((most, label) => (contribution[label] > contribution[most] ? label : most));

/**
 * Shorten a clause to what it is called by, without the punctuation around it.
 *
 * @param {string} text
 */
function shortened(text) {
  const words = text.replace(/^[\s\p{P}]+|[\s\p{P}]+$/gu, "") || text.trim();
  const characters = Array.from(words);
  return characters.length > MAX_NAME_LENGTH ? `${characters.slice(0, MAX_NAME_LENGTH).join("")}…` : words;
}

/** @type {(explanation: Explanation) => Unit[]} */
export const unitsOf = ({ unit, tokens, clauses }) => (unit === "token" ? tokens : clauses);

/** @param {string} name */
const quoted = (name) => t("quoted", shortened(name));

/** @type {(unit: Unit, shown: string) => string} */
function unitTip(unit, shown) {
  if (unit.dropped) return t("droppedTip", quoted(shown));
  const parts = LABELS.map((label) => t("part", percent(unit.without[label]), t(label)));
  const words = [t("unitTip", quoted(shown), parts.join(t("listComma")))];
  if (unit.unknown) words.push(t("unknownTip"));
  if (unit.unknown_words?.length) {
    words.push(t("unknownWordsTip", unit.unknown_words.map(quoted).join(t("listComma"))));
  }
  if (unit.normalized && unit.normalized !== shown) words.push(t("readAs", unit.normalized));
  return words.join(" ");
}

/**
 * Tokens from one code point share its offset; the later ones are shown as they are read.
 *
 * @type {(unit: Unit, before: Unit | undefined) => string}
 */
const shownAs = (unit, before) =>
  (before && before.offset === unit.offset && unit.normalized) || unit.text;

/**
 * Write a clause, and mark the words in it that the vocabulary lacks.
 *
 * @type {(word: HTMLElement, shown: string, unknown: string[]) => void}
 */
function writeClause(word, shown, unknown) {
  let rest = shown;
  for (const lacking of unknown) {
    const at = rest.indexOf(lacking);
    if (at < 0) continue;
    word.append(rest.slice(0, at), element("span", { class: "lacking" }, lacking));
    rest = rest.slice(at + lacking.length);
  }
  word.append(rest);
}

/**
 * Show a unit; one that pulls by `full` has the full colour.
 *
 * @type {(unit: Unit, shown: string, isToken: boolean, full: number) => HTMLElement}
 */
function unitView(unit, shown, isToken, full) {
  const item = element("span", { class: "token", role: "listitem" });
  const word = element("span", { class: "word", lang: "zh" });
  if (isToken) word.append(shown);
  else writeClause(word, shown.trim(), unit.unknown_words ?? []);
  item.append(word);
  if (unit.dropped) {
    item.classList.add("dropped");
  } else if (unit.punctuation) {
    item.classList.add("punctuation");
  } else {
    const label = pulled(unit.contribution);
    const amount = unit.contribution[label];
    item.dataset.label = label;
    item.style.setProperty("--strength", String(Math.sqrt(Math.max(0, amount) / full)));
    // One of many clauses changes little.
    const digits = isToken ? oneDecimal(amount) : twoDecimals(amount);
    item.append(element("span", { class: "amount" }, Number(digits) ? `${SHAPES[label]} ${digits}` : digits));
  }
  if (unit.unknown) item.classList.add("unknown");
  return explained(item, unitTip(unit, shown));
}

/** @type {(text: string, explanation: Explanation) => HTMLElement} */
export function unitList(text, explanation) {
  const { unit: kind } = explanation;
  const units = unitsOf(explanation);
  // Of a text that is nothing but markup, for example.
  if (!units.length) return element("p", { class: "hint" }, t("nothingRead"));
  const isToken = kind === "token";
  const list = element("div", { class: `tokens ${kind}s`, role: "list", "aria-label": t("why") });
  const pulls = units.filter((unit) => !unit.punctuation).map((unit) => Math.max(...Object.values(unit.contribution)));
  const full = Math.max(MIN_FULL_PULL, ...pulls);
  /** @type {Unit | undefined} */
  let before;
  for (const part of pieces(text, units)) {
    if (typeof part === "string") {
      if (part.trim()) list.append(element("span", { class: "between", role: "listitem", lang: "zh" }, part));
      continue;
    }
    list.append(unitView(part, shownAs(part, before), isToken, full));
    before = part;
  }
  return walkable(list);
}

/**
 * Explain colours, shapes and marks.
 *
 * @param {"token" | "clause"} kind
 */
export function legend(kind) {
  const list = element("ul", { class: "legend", "aria-label": t("legend") });
  for (const label of LABELS) {
    list.append(element("li", { "data-label": label }, shape(label), t(label)));
  }
  /** @type {(mark: string, word: string, words: string) => HTMLElement} */
  const sample = (mark, word, words) =>
    element(
      "li",
      {},
      element("span", { class: `token ${mark}`, "aria-hidden": "true", lang: "zh" }, element("span", { class: "word" }, word)),
      words,
    );
  if (kind === "clause") {
    list.append(element("li", {}, element("span", { class: "lacking", "aria-hidden": "true", lang: "zh" }, "词"), " ", t("legendUnknown")));
  } else {
    list.append(
      sample("punctuation", "，", t("legendPunctuation")),
      sample("dropped", "的", t("legendDropped")),
      sample("unknown", "词", t("legendUnknown")),
    );
  }
  return list;
}

/**
 * Say in a sentence what speaks for the label, and what against it.
 *
 * @type {(explanation: Explanation) => string}
 */
function conclusion(explanation) {
  const { label } = explanation;
  const words = unitsOf(explanation).filter((unit) => !unit.dropped && !unit.punctuation);
  /** @type {(sign: number) => string[]} */
  const strongest = (sign) =>
    words
      .filter((unit) => sign * unit.contribution[label] >= MIN_NAMED_PULL)
      .sort((a, b) => sign * (b.contribution[label] - a.contribution[label]))
      .slice(0, MOST_NAMED)
      .map((unit) => quoted(unit.text));
  return t("conclusion", t(label), strongest(1), strongest(-1));
}

/** @type {(text: string, explanation: Explanation) => HTMLElement} */
export function reasonsView(text, explanation) {
  const list = unitList(text, explanation);
  const { unit } = explanation;
  if (!unitsOf(explanation).length) return card(t("why"), list);
  return card(
    t("why"),
    element("p", { class: "lead" }, conclusion(explanation)),
    list,
    legend(unit),
    element("p", { class: "hint" }, t("unitsCaption", t("unitNames")[unit])),
  );
}

/** @type {Direction[]} */
const DIRECTIONS = ["forward", "backward"];
/** @type {(Gate | "retained")[]} */
const ROWS = ["input", "forget", "output", "retained"];

/**
 * Whether the network reads a unit.
 *
 * @typedef {Unit & { gates: NonNullable<Unit["gates"]>, retained: NonNullable<Unit["retained"]> }} ReadUnit
 * @param {Unit} unit
 * @returns {unit is ReadUnit}
 */
const isRead = (unit) => Boolean(unit.gates);

/** @param {number} value */
const level = (value) => t("levels")[Math.min(4, Math.floor(value * 5))];

/** @type {(values: Record<Direction, number>) => number} */
const mean = ({ forward, backward }) => (forward + backward) / 2;

/**
 * Say in a sentence which word wrote most into the memory, and how much of that is left.
 *
 * @param {ReadUnit[]} units
 */
function gatesLead(units) {
  /** @param {ReadUnit} unit */
  const written = ({ gates }) => mean({ forward: gates.forward.input, backward: gates.backward.input });
  const words = units.filter((unit) => !unit.punctuation);
  const most = (words.length ? words : units).reduce((a, b) => (written(b) > written(a) ? b : a));
  return t("gatesLead", quoted(most.text), percent(written(most)), percent(mean(most.retained)));
}

/** @type {(units: ReadUnit[]) => HTMLTableElement} */
function heatTable(units) {
  /** @param {Record<string, number>[]} values */
  const highest = (values) => Math.max(...values.flatMap((value) => Object.values(value)));
  const maxOpen = highest(units.flatMap((unit) => Object.values(unit.gates)));
  const maxRetained = highest(units.map((unit) => unit.retained));
  const table = element("table", { class: "heat", role: "grid", "aria-label": t("gates") });
  const head = element("tr", {}, element("th", { scope: "col", class: "corner" }, element("span", { class: "unseen" }, t("gates"))));
  const names = units.map((unit, index) => shownAs(unit, units[index - 1]));
  for (const name of names) {
    head.append(element("th", { scope: "col", lang: "zh" }, shortened(name)));
  }
  table.append(element("thead", {}, head));
  for (const direction of DIRECTIONS) {
    const title = element("th", { scope: "rowgroup", class: "direction" }, t(direction));
    title.append(element("span", { "aria-hidden": "true" }, direction === "forward" ? " →" : " ←"));
    const group = element("tbody", {}, element("tr", {}, title));
    for (const gate of ROWS) {
      const row = element("tr", { class: gate });
      row.append(element("th", { scope: "row" }, t(gate)));
      units.forEach((unit, index) => {
        const isRetained = gate === "retained";
        const value = isRetained ? unit.retained[direction] : unit.gates[direction][gate];
        const words = t("gateTip", t(direction), gate, quoted(names[index]), percent(value), level(value));
        const cell = element("td", {}, oneDecimal(100 * value));
        // A mean over hundreds of cells is rarely near 1: the highest has the full colour.
        cell.style.setProperty("--strength", String(value / (isRetained ? maxRetained : maxOpen)));
        row.append(explained(cell, words));
      });
      group.append(row);
    }
    table.append(group);
  }
  return table;
}

/**
 * Show the gates as a table that is closed at first; null where the network read nothing.
 *
 * @param {Explanation} explanation
 */
export function gatesView(explanation) {
  const units = unitsOf(explanation).filter(isRead);
  if (!units.length) return null;
  return element(
    "details",
    { class: "card", id: "gates" },
    element("summary", {}, element("h2", {}, t("gates"))),
    element("p", { class: "lead" }, gatesLead(units)),
    scrollable(walkable(heatTable(units))),
    element("p", { class: "hint" }, t("gatesCaption")),
  );
}
