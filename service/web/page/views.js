// How an answer is shown: the label, sentences, tokens, gates. Colour is never the only sign.

import { element, explained, walkable } from "./dom.js";
import { oneDecimal, percent, problemText, t } from "./texts.js";

/** @type {Label[]} */
export const LABELS = ["positive", "neutral", "negative"];
export const SHAPES = { positive: "▲", neutral: "●", negative: "▼" };
// The strongest token has the full colour, unless it pulls by less than this.
const MIN_FULL_PULL = 0.5;

/** @param {Label} label */
export const shape = (label) => element("span", { class: "shape", "aria-hidden": "true" }, SHAPES[label]);

/** @type {(title: string, ...content: Node[]) => HTMLElement} */
export function card(title, ...content) {
  return element("section", { class: "card" }, element("h2", {}, title), ...content);
}

/** @param {string} words */
export function problemBox(words) {
  return element("p", { class: "problem", role: "alert" }, words);
}

/**
 * Say why a part of the answer is missing; `tooLong` is the key for a text that is too long for it.
 *
 * @param {Failure} problem
 * @param {import("./texts.js").Key} [tooLong]
 */
export function note(problem, tooLong) {
  const words = problem.status === 413 && tooLong ? t(tooLong) : problemText(problem);
  return element("p", { class: "waiting" }, words);
}

/** @param {Sentiment} result */
export function verdict(result) {
  const box = element("div", { class: "verdict" });
  const name = element("p", { class: "label", "data-label": result.label });
  name.append(
    shape(result.label),
    element("strong", {}, t(result.label)),
    element("span", { class: "confidence" }, t("confidenceOf", percent(result.confidence))),
  );
  box.append(name);
  if (result.uncertain) {
    box.append(element("p", { class: "uncertain" }, t("uncertain")));
  }
  box.append(bars(result.probabilities));
  box.append(element("p", { class: "hint" }, t("facts", result.text)));
  return box;
}

/** @param {Probabilities} probabilities */
function bars(probabilities) {
  const list = element("dl", { class: "bars" });
  for (const label of LABELS) {
    const fill = element("span", { class: "fill" });
    fill.style.setProperty("--share", String(probabilities[label]));
    list.append(
      element(
        "div",
        { "data-label": label },
        element("dt", {}, shape(label), t(label)),
        element(
          "dd",
          {},
          element("span", { class: "track", "aria-hidden": "true" }, fill),
          element("span", { class: "value" }, percent(probabilities[label])),
        ),
      ),
    );
  }
  return list;
}

/**
 * Split a text into its pieces and the strings between them; positions are code points.
 *
 * @template {Piece} P
 * @param {string} text
 * @param {P[]} found
 */
function pieces(text, found) {
  const characters = Array.from(text);
  /** @type {(string | P)[]} */
  const parts = [];
  let end = 0;
  for (const piece of found) {
    if (piece.offset > end) parts.push(characters.slice(end, piece.offset).join(""));
    parts.push(piece);
    end = Math.max(end, piece.offset + piece.length);
  }
  if (end < characters.length) parts.push(characters.slice(end).join(""));
  return parts;
}

/** @type {(text: string, sentences: Sentence[]) => HTMLElement} */
export function sentencesView(text, sentences) {
  const list = element("div", { class: "reading", role: "list", "aria-label": t("sentences") });
  for (const part of pieces(text, sentences)) {
    if (typeof part === "string") {
      list.append(part);
      continue;
    }
    const words = t("sentenceTip", part.text, t(part.label), percent(part.confidence), part.uncertain);
    const item = element("span", { class: "sentence", role: "listitem", "data-label": part.label });
    item.style.setProperty("--strength", String(part.confidence * 0.7));
    // Its own language; the tip is in the page's.
    item.append(shape(part.label), element("span", { lang: "zh" }, part.text));
    list.append(explained(item, words));
  }
  return card(
    t("sentences"),
    walkable(list),
    element("p", { class: "hint" }, t("sentencesCaption")),
  );
}

/**
 * Return the label that a token pulls towards most.
 *
 * @param {Probabilities} contribution
 */
const pulled = (contribution) =>
  LABELS.reduce((most, label) => (contribution[label] > contribution[most] ? label : most));

/** @type {(token: Unit, shown: string) => string} */
function tokenTip(token, shown) {
  if (token.dropped) return t("droppedTip", shown);
  const parts = LABELS.map((label) => t("part", percent(token.without[label]), t(label)));
  const words = [t("tokenTip", shown, parts.join(t("listComma")))];
  if (token.unknown.length) words.push(t("unknownTip"));
  if (token.normalized !== shown) words.push(t("readAs", token.normalized));
  return words.join(" ");
}

/**
 * Tokens from one code point share its offset; the later ones are shown as they are read.
 *
 * @type {(token: Unit, before: Unit | undefined) => string}
 */
function shownAs(token, before) {
  return before && before.offset === token.offset ? token.normalized : token.text;
}

/** @type {(text: string, tokens: Unit[]) => HTMLElement} */
export function tokenList(text, tokens) {
  // Of a text that is nothing but markup, for example.
  if (!tokens.length) return element("p", { class: "hint" }, t("nothingRead"));
  const list = element("div", { class: "tokens", role: "list", "aria-label": t("tokens") });
  const pulls = tokens.map((token) => Math.max(...Object.values(token.contribution)));
  const full = Math.max(MIN_FULL_PULL, ...pulls);
  /** @type {Unit | undefined} */
  let before;
  for (const part of pieces(text, tokens)) {
    if (typeof part === "string") {
      if (part.trim()) list.append(element("span", { class: "between", role: "listitem", lang: "zh" }, part));
      continue;
    }
    const shown = shownAs(part, before);
    before = part;
    const label = pulled(part.contribution);
    const amount = part.contribution[label];
    const item = element("span", { class: "token", role: "listitem" });
    const word = element("span", { class: "word", lang: "zh" }, shown);
    item.append(word);
    if (part.dropped) {
      item.classList.add("dropped");
    } else {
      item.dataset.label = label;
      item.style.setProperty("--strength", String(Math.sqrt(amount / full)));
      const digits = oneDecimal(amount);
      const pull = Number(amount.toFixed(1)) ? `${SHAPES[label]} ${digits}` : "0";
      item.append(element("span", { class: "amount" }, pull));
    }
    if (part.unknown.length) item.classList.add("unknown");
    list.append(explained(item, tokenTip(part, shown)));
  }
  return walkable(list);
}

/** Explain colours and shapes. */
export function legend() {
  const list = element("ul", { class: "legend", "aria-label": t("legend") });
  for (const label of LABELS) {
    list.append(element("li", { "data-label": label }, shape(label), t(label)));
  }
  /** @param {string} kind */
  const sample = (kind) => element("span", { class: `token ${kind}`, "aria-hidden": "true", lang: "zh" });
  const dropped = sample("dropped");
  dropped.append(element("span", { class: "word" }, "的"));
  const unknown = sample("unknown");
  unknown.append(element("span", { class: "word" }, "词"));
  list.append(
    element("li", {}, dropped, t("legendDropped")),
    element("li", {}, unknown, t("legendUnknown")),
  );
  return list;
}

/** @type {(text: string, explanation: Explanation) => HTMLElement} */
export function tokensView(text, explanation) {
  const list = tokenList(text, explanation.units);
  if (!explanation.units.length) return card(t("tokens"), list);
  return card(
    t("tokens"),
    list,
    legend(),
    element("p", { class: "hint" }, t("tokensCaption")),
    element("p", { class: "hint" }, t("reference", explanation.reference.difference.toFixed(4))),
  );
}

/** @type {Direction[]} */
const DIRECTIONS = ["forward", "backward"];
/** @type {(Gate | "retained")[]} */
const ROWS = ["input", "forget", "output", "retained"];

/**
 * Whether the network reads a token.
 *
 * @typedef {Unit & { gates: NonNullable<Unit["gates"]>, retained: NonNullable<Unit["retained"]> }} ReadToken
 * @param {Unit} token
 * @returns {token is ReadToken}
 */
const isRead = (token) => Boolean(token.gates);

/** @param {number} value */
const level = (value) => t("levels")[Math.min(4, Math.floor(value * 5))];

/**
 * Show the gates as a table; null where the network read nothing.
 *
 * @param {Explanation} explanation
 */
export function gatesView(explanation) {
  const tokens = explanation.units.filter(isRead);
  if (!tokens.length) return null;
  /** @param {Record<string, number>[]} values */
  const highest = (values) => Math.max(...values.flatMap((value) => Object.values(value)));
  const maxOpen = highest(tokens.flatMap((token) => Object.values(token.gates)));
  const maxRetained = highest(tokens.map((token) => token.retained));
  const table = element("table", { class: "heat", role: "grid", "aria-label": t("gates") });
  const head = element("tr", {}, element("th", { scope: "col", class: "corner" }, element("span", { class: "unseen" }, t("gates"))));
  /** @type {Unit | undefined} */
  let before;
  const names = tokens.map((token) => {
    const name = shownAs(token, before);
    before = token;
    return name;
  });
  for (const name of names) {
    head.append(element("th", { scope: "col", lang: "zh" }, name));
  }
  table.append(element("thead", {}, head));
  for (const direction of DIRECTIONS) {
    const group = element("tbody", {});
    const title = element("th", { scope: "rowgroup", class: "direction" }, t(direction));
    title.append(element("span", { "aria-hidden": "true" }, direction === "forward" ? " →" : " ←"));
    group.append(element("tr", {}, title));
    for (const gate of ROWS) {
      const row = element("tr", { class: gate });
      row.append(element("th", { scope: "row" }, t(gate)));
      tokens.forEach((token, index) => {
        const value = gate === "retained" ? token.retained[direction] : token.gates[direction][gate];
        const shown = value.toFixed(2);
        const words =
          gate === "retained"
            ? t("retainedTip", t(direction), names[index], shown, level(value))
            : t("gateTip", t(direction), gate, names[index], shown, level(value));
        const cell = element("td", {}, String(Math.round(value * 100)));
        // A mean over hundreds of cells is rarely near 1: the highest has the full colour.
        cell.style.setProperty("--strength", String(value / (gate === "retained" ? maxRetained : maxOpen)));
        row.append(explained(cell, words));
      });
      group.append(row);
    }
    table.append(group);
  }
  return card(
    t("gates"),
    element("div", { class: "scroll" }, walkable(table)),
    element("p", { class: "hint" }, t("gatesCaption")),
  );
}
