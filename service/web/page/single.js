// One text: the label first, then its sentences and the explanation as they arrive.

import { ask, maxTextCharacters, Problem } from "./api.js";
import { announce, byId, element, fill, place } from "./dom.js";
import { onLanguage, percent, problemText, t, waitingText, wholeNumber } from "./texts.js";
import { gatesView, note, problemBox, sentencesView, tokensView, verdict } from "./views.js";

const EXAMPLES = {
  exampleMixed: "屏幕清晰，抓拍也好。可惜电池不耐用，半日就没电了。换句话说，真不值这个价。",
  exampleComplaint: "说好的三天到货，等了两个星期，客服还一直推脱，再也不买了！",
  exampleFact: "会议将于周三上午九点在市图书馆三楼举行。",
  exampleTraditional: "這家餐廳的服務真的很貼心😊 下次一定再來！",
  exampleUnsure: "不是不好看，只是没有想象中那么好看。",
  exampleContrast:
    "手机外观漂亮，屏幕也清晰，拍照更是没得说。但是电池太不耐用，半天就没电，充电还发烫。客服态度倒是不错。综合来看，这个价位不值。",
};

const input = byId("single-text", HTMLTextAreaElement);
const counter = byId("single-count");
const result = byId("single-result");
const [label, sentences, reasons] = [place(), place(), place()];
/** @type {AbortController | null} */
let running = null;
/** @type {number | null} */
let limit = null;
/**
 * All that is shown follows from this, so that a change of language can redraw it.
 *
 * @typedef {object} State
 * @property {string} [text]
 * @property {Sentiment} [answer]
 * @property {Problem | null} [waiting] why there is no answer yet
 * @property {Problem | null} [problem] why there is none
 * @property {{ sentences: Sentence[] }} [analysis]
 * @property {Problem} [unanalysed] why there is no analysis
 * @property {Explanation} [explanation]
 * @property {Problem} [unexplained] why there is no explanation
 */
/** @type {State} */
let state = {};

function draw() {
  const { text = "", answer, waiting, problem, analysis, unanalysed, explanation, unexplained } = state;
  const waits = waiting && waitingText(waiting);
  const failed = problem && problemText(problem, limit);
  fill(byId("single-waiting"), [waits], () => [waits && element("p", { class: "waiting" }, waits)]);
  fill(byId("single-problem"), [failed], () => [failed && problemBox(failed)]);
  fill(label, [answer], () => [
    answer && element("section", { class: "card", id: "answer" }, verdict(answer)),
  ]);
  fill(sentences, [analysis, unanalysed], () => [
    analysis && sentencesView(text, analysis.sentences),
    unanalysed && note(unanalysed, "tooLongToAnalyse"),
  ]);
  fill(reasons, [explanation, unexplained], () => [
    explanation && tokensView(text, explanation),
    explanation && gatesView(explanation),
    unexplained && note(unexplained),
  ]);
  count();
}

function count() {
  const characters = Array.from(input.value).length;
  counter.textContent = t("count", wholeNumber(characters), limit && wholeNumber(limit));
  counter.classList.toggle("over", limit !== null && characters > limit);
}

async function run() {
  running?.abort();
  const controller = (running = new AbortController());
  const { signal } = controller;
  const text = input.value;
  /** @param {State} change */
  const update = (change) => {
    if (signal.aborted) return;
    state = { ...state, ...change };
    draw();
  };
  result.setAttribute("aria-busy", "true");
  try {
    const onWait = (waiting) => update({ waiting, problem: null });
    const answer = await ask("v1/predict", { text }, { signal, onWait, tries: 20 });
    state = {};
    update({ text, answer });
    announce(t("verdict", t(answer.label), percent(answer.confidence)));
    await Promise.all([
      ask("v1/analyze", { text }, { signal }).then(
        (analysis) => update({ analysis }),
        (unanalysed) => update({ unanalysed }),
      ),
      ask("v1/explain", { text }, { signal }).then(
        (explanation) => update({ explanation }),
        (unexplained) => update({ unexplained }),
      ),
    ]);
  } catch (error) {
    if (signal.aborted) return;
    const problem = /** @type {Problem} */ (error);
    state = { problem };
    draw();
  } finally {
    if (running === controller) result.removeAttribute("aria-busy");
  }
}

/** Start the tab, and classify the first example. */
export function startSingle() {
  result.append(label, sentences, reasons);
  const examples = byId("examples");
  for (const [name, text] of Object.entries(EXAMPLES)) {
    const button = element("button", { type: "button", class: "chip", "data-t": name });
    button.addEventListener("click", () => {
      input.value = text;
      run();
    });
    examples.append(button);
  }
  byId("single-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
  });
  input.addEventListener("input", count);
  onLanguage(draw);
  input.value = EXAMPLES.exampleMixed;
  // The first label is there before anything is typed.
  return run().then(async () => {
    limit = await maxTextCharacters();
    draw();
  });
}
