// Two texts side by side, and what changes from one to the other.

import { ask, maxTextCharacters, Problem } from "./api.js";
import { linkView } from "./developers.js";
import { differences } from "./differences.js";
import { announce, byId, element, fill, place } from "./dom.js";
import { initialView, keepView } from "./link.js";
import { legend, unitList, unitsOf } from "./reasons.js";
import { onLanguage, percent, points, problemText, t, waitingText } from "./texts.js";
import { card, LABELS, note, problemBox, shape, skeleton, verdict } from "./views.js";
import { worker } from "./work.js";

const inputs = [byId("compare-a", HTMLTextAreaElement), byId("compare-b", HTMLTextAreaElement)];
const result = byId("compare-result");
/** @type {number | null} */
let limit = null;
/**
 * @typedef {object} Side
 * @property {string} text
 * @property {Problem | null} [waiting] why there is no answer yet
 * @property {Problem} [problem] why there is none
 * @property {Sentiment} [answer]
 * @property {number} [seconds] how long the answer took
 * @property {Explanation} [explanation]
 * @property {Problem} [unexplained] why there is no explanation
 */
/** @type {Side[]} */
let sides = [];
let busy = false;
let cancelled = false;

// The elements of each side, and those for both.
const places = inputs.map(() => ({
  label: { title: element("h2"), words: place(), waiting: place({ role: "status" }), problem: place(), verdict: place() },
  reasons: { title: element("h3"), units: place() },
}));
const [stale, changes, why] = [place(), place(), place()];

const start = worker({
  button: byId("compare-start"),
  region: result,
  notice: byId("compare-still"),
  onBusy: () => {
    busy = true;
    draw();
  },
  onCancel: () => {
    cancelled = true;
    busy = false;
    for (const side of sides) side.waiting = null;
    draw();
  },
});

/** @type {(index: number, words: import("./differences.js").TextPart[]) => void} */
function drawSide(index, words) {
  const { text, waiting, problem, answer, seconds = 0, explanation, unexplained } = sides[index];
  const { label, reasons } = places[index];
  const waits = cancelled && !answer ? t("cancelled") : waiting && waitingText(waiting);
  const failed = problem && problemText(problem, limit);
  const name = t(index ? "secondText" : "firstText");
  fill(label.title, [], () => [name]);
  fill(label.words, [words], () => [
    element(
      "p",
      { class: "compared", lang: "zh" },
      ...words.map(([part, differs]) => (differs ? element("mark", {}, part) : part)),
    ),
  ]);
  fill(label.waiting, [waits], () => [waits && element("p", { class: "waiting" }, waits)]);
  fill(label.problem, [failed], () => [failed && problemBox(failed)]);
  const pending = busy && !answer && !failed;
  fill(label.verdict, [answer, pending], () => [
    answer && verdict(answer, seconds),
    pending && skeleton(t("label")),
  ]);
  fill(reasons.title, [], () => [name]);
  fill(reasons.units, [explanation, unexplained], () => [
    explanation && unitList(text, explanation),
    unexplained && note(unexplained),
  ]);
}

/** @type {[string, string, ReturnType<typeof differences>] | null} */
let lastDifferences = null;

/** @type {(first: string, second: string) => ReturnType<typeof differences>} */
function differencesOf(first, second) {
  if (lastDifferences?.[0] !== first || lastDifferences[1] !== second) {
    lastDifferences = [first, second, differences(first, second)];
  }
  return lastDifferences[2];
}

function draw() {
  if (!sides.length) return;
  const parts = differencesOf(sides[0].text, sides[1].text);
  sides.forEach((_, index) => drawSide(index, parts[index]));
  const [first, second] = sides.map((side) => side.answer);
  fill(changes, [first, second], () => [first && second && difference(first, second)]);
  const [explained] = sides.flatMap(({ explanation }) => (explanation && unitsOf(explanation).length ? [explanation] : []));
  fill(why, [sides.some((side) => side.explanation || side.unexplained), explained?.unit], () => [
    sides.some((side) => side.explanation || side.unexplained) && reasonsCard(explained?.unit),
  ]);
  drawStale();
}

function drawStale() {
  const isStale = sides.some((side, index) => side.answer && side.text !== inputs[index].value);
  result.classList.toggle("stale", isStale);
  fill(stale, [isStale], () => [isStale && element("p", { class: "waiting" }, t("staleComparison"))]);
}

/** @param {"token" | "clause" | undefined} kind */
function reasonsCard(kind) {
  const columns = places.map(({ reasons }) => element("div", { class: "column" }, ...Object.values(reasons)));
  return card(
    t("why"),
    element("div", { class: "pair" }, ...columns),
    ...(kind ? [legend(kind), element("p", { class: "hint" }, t("unitsCaption", t("unitNames")[kind]))] : []),
  );
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
        element("td", { class: "number" }, percent(before)),
        element("td", { class: "number" }, percent(after)),
        element("td", { class: "number" }, points(after - before)),
      ),
    );
  }
  /** @type {import("./texts.js").Key[]} */
  const names = ["label", "firstText", "secondText", "change"];
  const head = element(
    "tr",
    {},
    ...names.map((name, index) => element("th", { scope: "col", class: index ? "number" : null }, t(name))),
  );
  return card(
    t("difference"),
    element("p", { class: "lead" }, t("changeSentence", t(first.label), t(second.label))),
    element(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": t("difference") },
      element("table", { class: "plain" }, element("thead", {}, head), body),
    ),
    element("p", { class: "hint" }, t("differenceCaption")),
    ...linkView({ tab: "compare", a: sides[0].text, b: sides[1].text }),
  );
}

function run() {
  if (!sides.length) {
    const cards = places.map(({ label }) => element("section", { class: "card" }, ...Object.values(label)));
    result.append(stale, element("div", { class: "pair" }, ...cards), changes, why);
  }
  keepView({ a: inputs[0].value, b: inputs[1].value });
  busy = cancelled = false;
  /** @type {Side[]} */
  const compared = (sides = inputs.map((input) => ({ text: input.value })));
  draw();
  return start(async (signal) => {
    await Promise.all(compared.map((side) => answer(side, signal)));
    if (signal.aborted) return;
    busy = false;
    draw();
    const labels = compared.map((side) => side.answer && t(side.answer.label));
    if (labels.every(Boolean)) announce(t("changeSentence", ...labels));
  });
}

/** @type {(side: Side, signal: AbortSignal) => Promise<void>} */
async function answer(side, signal) {
  const { text } = side;
  /** @param {Partial<Side>} change */
  const update = (change) => {
    if (signal.aborted) return;
    Object.assign(side, change);
    draw();
  };
  const begun = performance.now();
  try {
    /** @type {(waiting: Problem | null) => void} */
    const onWait = (waiting) => update({ waiting });
    const found = await ask("v1/predict", { text }, { signal, onWait, tries: 20 });
    update({ answer: found, seconds: (performance.now() - begun) / 1000 });
  } catch (error) {
    update({ problem: /** @type {Problem} */ (error), waiting: null });
    return;
  }
  await ask("v1/explain", { text }, { signal }).then(
    (explanation) => update({ explanation }),
    (unexplained) => update({ unexplained }),
  );
}

/** Start the tab. */
export function startCompare() {
  const { a = "好吃", b = "不好吃" } = initialView();
  inputs[0].value = a;
  inputs[1].value = b;
  byId("compare-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  for (const input of inputs) {
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
    });
    input.addEventListener("input", () => {
      keepView({ a: inputs[0].value, b: inputs[1].value });
      drawStale();
    });
  }
  onLanguage(draw);
}

/** Compare the two texts when the tab is first opened. */
export async function openCompare() {
  if (sides.length) return;
  run();
  limit = await maxTextCharacters();
  draw();
}
