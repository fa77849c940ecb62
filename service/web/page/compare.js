// Two texts side by side, and what changes from one to the other.

import { ask, maxTextCharacters, Problem } from "./api.js";
import { announce, byId, element, fill, place } from "./dom.js";
import { onLanguage, percent, points, problemText, t, waitingText } from "./texts.js";
import { card, LABELS, legend, note, problemBox, shape, tokenList, verdict } from "./views.js";

const inputs = [byId("compare-a", HTMLTextAreaElement), byId("compare-b", HTMLTextAreaElement)];
/** @type {AbortController | null} */
let running = null;
/** @type {number | null} */
let limit = null;
/**
 * @typedef {object} Side
 * @property {string} text
 * @property {Problem | null} [waiting] why there is no answer yet
 * @property {Problem} [problem] why there is none
 * @property {Sentiment} [answer]
 * @property {Explanation} [explanation]
 * @property {Problem} [unexplained] why there is no explanation
 */
/** @type {Side[] | null} */
let sides = null;

// The elements of each side, and those for both.
const places = inputs.map(() => ({
  title: element("h2"),
  waiting: place({ role: "status" }),
  problem: place(),
  label: place(),
  reasons: place(),
}));
const [changes, key] = [place(), place()];

function draw() {
  if (!sides) return;
  sides.forEach(({ text, waiting, problem, answer, explanation, unexplained }, index) => {
    const parts = places[index];
    const waits = waiting && waitingText(waiting);
    const failed = problem && problemText(problem, limit);
    fill(parts.title, [], () => [t(index ? "secondText" : "firstText")]);
    fill(parts.waiting, [waits], () => [waits && element("p", { class: "waiting" }, waits)]);
    fill(parts.problem, [failed], () => [failed && problemBox(failed)]);
    fill(parts.label, [answer], () => [answer && verdict(answer)]);
    fill(parts.reasons, [explanation, unexplained], () => [
      explanation && tokenList(text, explanation.units),
      unexplained && note(unexplained),
    ]);
  });
  const answers = sides.map((side) => side.answer);
  const explained = sides.some((side) => side.explanation?.units.length);
  fill(changes, answers, () => [answers[0] && answers[1] && difference(answers[0], answers[1])]);
  fill(key, [explained], () => [explained && legend()]);
}

/** @type {(first: Sentiment, second: Sentiment) => HTMLElement} */
function difference(first, second) {
  const body = element("tbody");
  for (const label of LABELS) {
    const [before, after] = [first.probabilities[label], second.probabilities[label]];
    body.append(
      element(
        "tr",
        { "data-label": label },
        element("th", { scope: "row" }, shape(label), t(label)),
        element("td", {}, percent(before)),
        element("td", {}, percent(after)),
        element("td", { class: "change" }, points(after - before)),
      ),
    );
  }
  /** @type {import("./texts.js").Key[]} */
  const names = ["label", "firstText", "secondText", "change"];
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, t(name))));
  return card(
    t("difference"),
    element("p", { class: "lead" }, t("changeSentence", t(first.label), t(second.label))),
    element(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": t("difference") },
      element("table", { class: "plain" }, element("thead", {}, head), body),
    ),
    element("p", { class: "hint" }, t("differenceCaption")),
  );
}

async function run() {
  if (!sides) {
    const cards = places.map((parts) => element("section", { class: "card" }, ...Object.values(parts)));
    byId("compare-result").append(changes, element("div", { class: "pair" }, ...cards), key);
  }
  running?.abort();
  const { signal } = (running = new AbortController());
  /** @type {Side[]} */
  const compared = inputs.map((input) => ({ text: input.value }));
  sides = compared;
  await Promise.all(
    compared.map(async (side) => {
      const { text } = side;
      /** @param {Partial<Side>} change */
      const update = (change) => {
        Object.assign(side, change);
        if (compared === sides) draw();
      };
      try {
        /** @type {(waiting: Problem | null) => void} */
        const onWait = (waiting) => update({ waiting });
        update({ answer: await ask("v1/predict", { text }, { signal, onWait, tries: 20 }) });
      } catch (error) {
        update({ problem: /** @type {Problem} */ (error), waiting: null });
        return;
      }
      await ask("v1/explain", { text }, { signal }).then(
        (explanation) => update({ explanation }),
        (unexplained) => update({ unexplained }),
      );
    }),
  );
  const labels = compared.map((side) => side.answer && t(side.answer.label));
  if (compared === sides && labels.every(Boolean)) announce(t("changeSentence", ...labels));
}

/** Start the tab. */
export function startCompare() {
  inputs[0].value = "好吃";
  inputs[1].value = "不好吃";
  byId("compare-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  onLanguage(draw);
}

/** Compare the examples when the tab is first opened. */
export async function openCompare() {
  if (sides) return;
  run();
  limit = await maxTextCharacters();
  draw();
}
