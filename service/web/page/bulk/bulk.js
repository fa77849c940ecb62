// Many texts: a form, a run over its texts with a progress bar, and the result.

import { maxTextCharacters, Problem } from "../api.js";
import { onMarks } from "../corrections.js";
import { announce, byId, fill } from "../dom.js";
import { onLanguage, problemText, t, waitingText, wholeNumber } from "../texts.js";
import { redraw } from "./chart.js";
import { chosenTable, drawForm, sentenceFor, setBusy, showProblem, startForm } from "./form.js";
import { drawMarks, drawResult, endWords } from "./result.js";
import { Run } from "./run.js";
import { resetTable } from "./table.js";

const STILL_WAITING_AFTER_MS = 10_000;
const CLOCK_MS = 500;

/** @type {Run | null} the run whose progress or result is shown */
let shown = null;
// Every tenth is announced.
let announcedTenth = -1;

/** End the run that is shown, and forget its result: something else would be analysed now. */
function clear() {
  if (!shown) return;
  shown.controller.abort();
  shown = null;
  setBusy(false);
  drawProgress();
  byId("bulk-result").replaceChildren();
}

async function start() {
  const table = chosenTable();
  if (table.rows.every((row) => row.problem)) {
    showProblem(() => t(table.rows.length ? "nothingToAnswer" : "nothingToDo"));
    return;
  }
  const run = (shown = new Run(table));
  announcedTenth = -1;
  resetTable();
  showProblem(null);
  setBusy(true);
  byId("bulk-result").replaceChildren();
  drawProgress();
  const clock = setInterval(drawProgress, CLOCK_MS);
  try {
    run.limit = await maxTextCharacters();
    await run.classify(drawSoon);
    if (run.cancelled) run.ended = "bulkCancelled";
  } catch (error) {
    run.ended = run.cancelled ? "bulkCancelled" : "bulkStopped";
    const isProblem = error instanceof Problem;
    const sentence = isProblem ? () => problemText(error, run.limit) : await sentenceFor(error);
    if (!run.cancelled && shown === run) showProblem(sentence);
  }
  clearInterval(clock);
  run.running = false;
  if (shown !== run) return;
  const hadFocus = document.activeElement === byId("bulk-cancel");
  setBusy(false);
  drawProgress();
  if (hadFocus) byId("bulk-start").focus();
  drawResult(run);
  announce(endWords(run));
}

let frame = 0;

// Answers come many at a time.
function drawSoon() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    drawProgress();
  });
}

function drawProgress() {
  const run = shown?.running ? shown : null;
  byId("bulk-progress").hidden = !run;
  if (!run) return;
  const { done, total } = run;
  const bar = byId("bulk-bar", HTMLProgressElement);
  bar.max = total;
  bar.value = done;
  const words = t("bulkDone", wholeNumber(done), wholeNumber(total));
  const speed = run.speed();
  const rest = speed && t("bulkSpeed", wholeNumber(Math.round(speed.rate)), t("timeLeft", Math.ceil(speed.left)));
  byId("bulk-done").textContent = [words, rest].filter(Boolean).join(" · ");
  const late = performance.now() - run.progressAt > STILL_WAITING_AFTER_MS;
  const waits = run.waiting ? waitingText(run.waiting) : late ? t("stillWaiting") : "";
  fill(byId("bulk-waiting"), [waits], () => [waits]);
  const tenth = Math.floor((done / total) * 10);
  if (tenth !== announcedTenth) announce(words);
  announcedTenth = tenth;
}

/** Start the tab. */
export function startBulk() {
  startForm(start, clear);
  byId("bulk-cancel").addEventListener("click", () => shown?.controller.abort());
  const ended = () => (shown && !shown.running ? shown : null);
  document.addEventListener("theme", () => ended() && redraw());
  onMarks(() => {
    const run = ended();
    if (run) drawMarks(run);
  });
  onLanguage(() => {
    drawForm();
    drawProgress();
    const run = ended();
    if (run) drawResult(run);
  });
}
