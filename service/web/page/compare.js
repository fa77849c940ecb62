// Two texts side by side, and what changes from one to the other.

import { ask, longestText } from "./api.js";
import { announce, byId, element } from "./dom.js";
import { onLanguage, percent, points, problemText, t, waitingText } from "./texts.js";
import { card, LABELS, legend, note, problemBox, shape, tokenList, verdict } from "./views.js";

const inputs = [byId("compare-a"), byId("compare-b")];
let running = null;
let limit = null;
let sides = null;

function draw() {
  if (!sides) return;
  const pair = element("div", { class: "pair" });
  sides.forEach((side, index) => {
    const box = card(t(index ? "secondText" : "firstText"));
    if (side.waiting) box.append(element("p", { class: "waiting" }, waitingText(side.waiting)));
    if (side.problem) box.append(problemBox(problemText(side.problem, limit)));
    if (side.answer) box.append(verdict(side.answer));
    if (side.explanation) box.append(tokenList(side.text, side.explanation.tokens));
    if (side.unexplained) box.append(note(side.unexplained, "tooLongToExplain", limit));
    pair.append(box);
  });
  const parts = [pair];
  if (sides.every((side) => side.answer)) parts.unshift(difference());
  if (sides.some((side) => side.explanation)) parts.push(legend());
  byId("compare-result").replaceChildren(...parts);
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
}
