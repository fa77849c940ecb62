// Two texts side by side, and what changes from one to the other.

import { ask, longestText } from "./api.js";
import { announce, byId, element, fill, place } from "./dom.js";
import { onLanguage, percent, points, problemText, t, waitingText } from "./texts.js";
import { card, LABELS, legend, note, problemBox, shape, tokenList, verdict } from "./views.js";

const inputs = [byId("compare-a"), byId("compare-b")];
let running = null;
let limit = null;
let sides = null;

// Where each side's parts stand, and what is said of both.
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
    const at = places[index];
    const waits = waiting && waitingText(waiting);
    const failed = problem && problemText(problem, limit);
    fill(at.title, [], () => [t(index ? "secondText" : "firstText")]);
    fill(at.waiting, [waits], () => [waits && element("p", { class: "waiting" }, waits)]);
    fill(at.problem, [failed], () => [failed && problemBox(failed)]);
    fill(at.label, [answer], () => [answer && verdict(answer)]);
    fill(at.reasons, [explanation, unexplained], () => [
      explanation && tokenList(text, explanation.tokens),
      unexplained && note(unexplained, "tooLongToExplain"),
    ]);
  });
  const answers = sides.map((side) => side.answer);
  const explained = sides.some((side) => side.explanation?.tokens.length);
  fill(changes, answers, () => [answers.every(Boolean) && difference()]);
  fill(key, [explained], () => [explained && legend()]);
}

function difference() {
  const [first, second] = sides.map((side) => side.answer);
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
    const cards = places.map((at) => element("section", { class: "card" }, ...Object.values(at)));
    byId("compare-result").append(changes, element("div", { class: "pair" }, ...cards), key);
  }
  running?.abort();
  const { signal } = (running = new AbortController());
  sides = inputs.map((input) => ({ text: input.value }));
  const told = sides;
  await Promise.all(
    told.map(async (side) => {
      const { text } = side;
      const tell = (change) => {
        Object.assign(side, change);
        if (told === sides) draw();
      };
      try {
        const onWait = (waiting) => tell({ waiting });
        tell({ answer: await ask("v1/predict", { text }, { signal, onWait, tries: 20 }) });
      } catch (problem) {
        tell({ problem, waiting: null });
        return;
      }
      await ask("v1/explain", { text }, { signal }).then(
        (explanation) => tell({ explanation }),
        (unexplained) => tell({ unexplained }),
      );
    }),
  );
  if (told === sides && sides.every((side) => side.answer)) {
    announce(t("changeSentence", ...sides.map((side) => t(side.answer.label))));
  }
}

export function startCompare() {
  inputs[0].value = "好吃";
  inputs[1].value = "不好吃";
  byId("compare-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  onLanguage(draw);
}

// The first time that somebody looks.
export async function openCompare() {
  if (sides) return;
  run();
  limit = await longestText();
  draw();
}
