// How an answer is shown: the label and the sentences. Colour is never the only sign.

import { element, explained, walkable } from "./dom.js";
import { duration, percent, problemText, t, wholeNumber } from "./texts.js";

/** @type {Label[]} */
export const LABELS = ["positive", "neutral", "negative"];
export const SHAPES = { positive: "▲", neutral: "●", negative: "▼" };
// Further sentences are shown when asked for.
const FIRST_SENTENCES = 10;

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

/**
 * Show a label and its probabilities; `seconds` is how long the answer took.
 *
 * @type {(result: Sentiment, seconds: number) => HTMLElement}
 */
export function verdict(result, seconds) {
  const box = element("div", { class: "verdict" });
  const name = element("p", { class: "label", "data-label": result.label });
  name.append(
    shape(result.label),
    element("strong", {}, t(result.label)),
    element("span", { class: "confidence" }, t("confidenceOf", percent(result.confidence))),
  );
  box.append(name);
  if (result.uncertain) {
    const reasons = result.uncertain_because.map((reason) => t("uncertainBecause")[reason]);
    box.append(element("p", { class: "uncertain" }, reasons.join(" ")));
  }
  box.append(bars(result.probabilities));
  const { characters, tokens, unknown, windows } = result.text;
  const facts = {
    characters: wholeNumber(characters),
    tokens: wholeNumber(tokens),
    unknown: wholeNumber(unknown),
    windows: wholeNumber(windows),
  };
  box.append(element("p", { class: "hint" }, t("facts", facts, duration(seconds))));
  return box;
}

/**
 * Hold the place of a card that is being made.
 *
 * @param {string} title
 */
export function skeleton(title) {
  return element(
    "section",
    { class: "card skeleton" },
    element("h2", {}, title),
    element("span", { "aria-hidden": "true" }),
    element("span", { "aria-hidden": "true" }),
  );
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
export function pieces(text, found) {
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

/** @type {(sentence: Sentence) => HTMLElement} */
function sentenceView(sentence) {
  const { text, label, confidence, uncertain } = sentence;
  const words = t("sentenceTip", text, t(label), percent(confidence), uncertain);
  const item = element("span", { class: "sentence", role: "listitem", "data-label": label });
  item.style.setProperty("--strength", String(confidence * 0.7));
  // Its own language; the tip is in the page's.
  item.append(shape(label), element("span", { lang: "zh" }, text));
  return explained(item, words);
}

/** @type {(text: string, sentences: Sentence[]) => HTMLElement} */
export function sentencesView(text, sentences) {
  const list = element("div", { class: "reading", role: "list", "aria-label": t("sentences") });
  /** @param {number} most */
  const write = (most) => {
    const parts = pieces(text, sentences);
    const rest = parts.findIndex((part) => part === sentences[most]);
    list.replaceChildren(
      ...parts.slice(0, rest < 0 ? undefined : rest).map((part) => (typeof part === "string" ? part : sentenceView(part))),
    );
    walkable(list);
  };
  write(FIRST_SENTENCES);
  const counts = element("p", { class: "counts" });
  for (const label of LABELS) {
    const number = sentences.filter((sentence) => sentence.label === label).length;
    counts.append(element("span", { "data-label": label }, shape(label), `${t(label)} ${wholeNumber(number)}`));
  }
  const content = [counts, list];
  if (sentences.length > FIRST_SENTENCES) {
    const words = t("allSentences", wholeNumber(sentences.length));
    const all = element("button", { type: "button", class: "quiet", id: "all-sentences" }, words);
    all.addEventListener("click", () => {
      write(sentences.length);
      all.remove();
      /** @type {HTMLElement} */ (list.children[FIRST_SENTENCES]).focus();
    });
    content.push(element("div", {}, all));
  }
  return card(t("sentences"), ...content, element("p", { class: "hint" }, t("sentencesCaption")));
}
