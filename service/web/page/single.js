// One text: the label first, then its sentences and the explanation as they arrive.

import { ask, maxTextCharacters, Problem } from "./api.js";
import { countMarks, markOf, markText, onMarks, saveMarks, unmarkText } from "./corrections.js";
import { developersView } from "./developers.js";
import { announce, byId, element, fill, place } from "./dom.js";
import { initialView, keepView } from "./link.js";
import { gatesView, reasonsView } from "./reasons.js";
import { onLanguage, percent, problemText, t, waitingText, wholeNumber } from "./texts.js";
import { LABELS, note, problemBox, sentencesView, shape, skeleton, verdict } from "./views.js";
import { worker } from "./work.js";

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
const [stale, label, judgement, sentences, reasons, gates, developers] = Array.from({ length: 7 }, () => place());
/** @type {number | null} */
let limit = null;
/**
 * All that is shown follows from this, so that a change of language can redraw it.
 *
 * @typedef {object} State
 * @property {string} [text]
 * @property {boolean} [busy] whether the visitor has been waiting for a while
 * @property {boolean} [cancelled]
 * @property {Sentiment} [answer]
 * @property {number} [seconds] how long the answer took
 * @property {Problem | null} [waiting] why there is no answer yet
 * @property {Problem | null} [problem] why there is none
 * @property {{ sentences: Sentence[] }} [analysis]
 * @property {Problem} [unanalysed] why there is no analysis
 * @property {Explanation} [explanation]
 * @property {Problem} [unexplained] why there is no explanation
 */
/** @type {State} */
let state = {};
/** The text that was last asked about. */
let asked = "";

const start = worker({
  button: byId("single-start"),
  region: result,
  notice: byId("single-still"),
  onBusy: () => {
    if (state.text !== asked) state = { waiting: state.waiting };
    change({ busy: true });
  },
  onCancel: () => change({ busy: false, cancelled: true, waiting: null }),
});

/** @param {State} changes */
function change(changes) {
  state = { ...state, ...changes };
  draw();
}

function draw() {
  const { text = "", answer, busy, waiting, problem, analysis, unanalysed, explanation, unexplained } = state;
  const waits = state.cancelled ? t("cancelled") : waiting && waitingText(waiting);
  const failed = problem && problemText(problem, limit);
  fill(byId("single-waiting"), [waits], () => [waits && element("p", { class: "waiting" }, waits)]);
  fill(byId("single-problem"), [failed], () => [failed && problemBox(failed)]);
  const [noLabel, noSentences, noReasons] = [answer, analysis ?? unanalysed, explanation ?? unexplained].map(
    (found) => busy && !found,
  );
  fill(label, [answer, noLabel], () => [
    answer && element("section", { class: "card", id: "answer" }, stale, verdict(answer, state.seconds ?? 0), judgement),
    noLabel && skeleton(t("label")),
  ]);
  fill(sentences, [analysis, unanalysed, noSentences], () => [
    analysis && sentencesView(text, analysis.sentences),
    unanalysed && note(unanalysed, "tooLongToAnalyse"),
    noSentences && skeleton(t("sentences")),
  ]);
  fill(reasons, [explanation, unexplained, noReasons], () => [
    explanation && reasonsView(text, explanation),
    unexplained && note(unexplained),
    noReasons && skeleton(t("why")),
  ]);
  fill(gates, [explanation], () => [explanation && gatesView(explanation)]);
  fill(developers, [answer], () => [answer && developersView(text, answer)]);
  drawJudgement();
  drawInput();
}

/** Ask whether the answer is right, and offer the answers judged so far as a file. */
function drawJudgement() {
  const { text = "", answer } = state;
  const mark = markOf(text);
  const marks = countMarks();
  fill(judgement, [answer, mark, marks], () => {
    if (!answer) return [];
    const buttons = [answer.label, ...LABELS.filter((other) => other !== answer.label)].map((chosen) => {
      const right = chosen === answer.label;
      const button = element(
        "button",
        { type: "button", class: "chip", "aria-pressed": String(mark?.label === chosen), "data-judge": chosen },
        ...(right ? [t("judgeRight")] : [t("judgeWrong"), " ", element("span", { "data-label": chosen }, shape(chosen), t(chosen))]),
      );
      button.addEventListener("click", () => {
        if (markOf(text)?.label === chosen) unmarkText(text);
        else markText(text, chosen, answer.label);
        /** @type {HTMLElement | null} */ (judgement.querySelector(`[data-judge=${chosen}]`))?.focus();
      });
      return button;
    });
    const download = element("button", { type: "button", class: "quiet", id: "marks-download" }, t("marksDownload", wholeNumber(marks)));
    download.addEventListener("click", saveMarks);
    return [
      element("div", { class: "chips", role: "group", "aria-label": t("judge") }, element("span", { class: "hint" }, t("judge")), ...buttons),
      marks > 0 && element("div", { class: "under" }, element("span", { class: "hint" }, t("marksHint")), download),
    ];
  });
}

/** Count the characters, and strike an answer that is of another text. */
function drawInput() {
  const characters = Array.from(input.value).length;
  counter.textContent = t("count", wholeNumber(characters), limit && wholeNumber(limit));
  counter.classList.toggle("over", limit !== null && characters > limit);
  const isStale = Boolean(state.answer) && state.text !== input.value;
  result.classList.toggle("stale", isStale);
  fill(stale, [isStale], () => [isStale && element("p", { class: "waiting" }, t("stale"))]);
}

function run() {
  const text = (asked = input.value);
  keepView({ text });
  state = { ...state, cancelled: false, problem: null, busy: false };
  draw();
  return start((signal) => answer(text, signal));
}

/** @type {(text: string, signal: AbortSignal) => Promise<void>} */
async function answer(text, signal) {
  /** @param {State} changes */
  const update = (changes) => {
    if (!signal.aborted) change(changes);
  };
  try {
    const onWait = (waiting) => update({ waiting });
    const begun = performance.now();
    const found = await ask("v1/predict", { text }, { signal, onWait, tries: 20 });
    if (signal.aborted) return;
    const { busy } = state;
    state = { text, busy, answer: found, seconds: (performance.now() - begun) / 1000 };
    draw();
    announce(t("verdict", t(found.label), percent(found.confidence)));
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
    state = { problem: /** @type {Problem} */ (error) };
    draw();
  } finally {
    update({ busy: false });
  }
}

/**
 * Open the tab with a text, and classify it.
 *
 * @param {string} text
 */
export function openText(text) {
  // The browser's Back returns to the rows instead of leaving the page.
  if (byId("single-back").hidden) history.pushState(null, "");
  byId("single-back").hidden = false;
  byId("tab-single").click();
  input.value = text;
  run();
  byId("single").scrollIntoView();
  input.focus({ preventScroll: true });
}

function returnToRows() {
  byId("single-back").hidden = true;
  byId("tab-bulk").click();
}

/** Start the tab, and classify the text that is kept or linked, or else the first example. */
export function startSingle() {
  result.append(label, sentences, reasons, gates, developers);
  byId("single-back").addEventListener("click", () => history.back());
  addEventListener("popstate", () => {
    if (!byId("single-back").hidden) returnToRows();
  });
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
  input.addEventListener("input", () => {
    keepView({ text: input.value });
    drawInput();
  });
  onLanguage(draw);
  onMarks(drawJudgement);
  input.value = initialView().text ?? EXAMPLES.exampleMixed;
  // The first label is there before anything is typed.
  return run().then(async () => {
    limit = await maxTextCharacters();
    draw();
  });
}
