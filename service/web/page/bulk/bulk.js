// Many texts: a form, a run over its texts with a progress bar, and the result.

import { model, Problem } from "../api.js";
import { announce, byId, fill, library } from "../dom.js";
import { onLanguage, problemText, t, waitingText, wholeNumber } from "../texts.js";
import { chosenTable, drawForm, setDisabled, showProblem, startForm } from "./form.js";
import { drawChart, drawResult, endWords } from "./result.js";
import { Run } from "./run.js";

/** @type {Run | null} the run whose progress or result is shown */
let shown = null;
// Every tenth is announced.
let announcedTenth = -1;

async function start() {
  const table = chosenTable();
  if (!table.rows.length) {
    showProblem(() => t("nothingToDo"));
    return;
  }
  const run = (shown = new Run(table));
  announcedTenth = -1;
  showProblem(null);
  setDisabled(true);
  byId("bulk-result").replaceChildren();
  drawProgress();
  try {
    const [{ limits }] = await Promise.all([model(), library("Papa"), library("Chart")]);
    run.limit = limits.max_text_characters;
    await run.classify(limits, drawProgress);
    if (run.cancelled) run.ended = "bulkCancelled";
  } catch (error) {
    const cancelled = run.cancelled;
    run.ended = cancelled ? "bulkCancelled" : "bulkStopped";
    run.controller.abort();
    if (error instanceof Problem) showProblem(() => problemText(error, run.limit));
    else if (!cancelled) showProblem(() => t("problem").library());
  }
  run.running = false;
  setDisabled(false);
  drawProgress();
  drawResult(run);
  announce(endWords(run));
}

function drawProgress() {
  byId("bulk-progress").hidden = !shown;
  if (!shown) return;
  const { done, running, waiting, texts } = shown;
  const bar = byId("bulk-bar", HTMLProgressElement);
  bar.max = texts.length;
  bar.value = done;
  const words = t("bulkDone", wholeNumber(done), wholeNumber(texts.length));
  byId("bulk-done").textContent = running ? words : endWords(shown);
  byId("bulk-cancel").hidden = !running;
  const waits = running && waiting && waitingText(waiting);
  fill(byId("bulk-waiting"), [waits], () => [waits]);
  const tenth = Math.floor((done / texts.length) * 10);
  if (running && tenth !== announcedTenth) announce(words);
  announcedTenth = tenth;
}

/** Start the tab. */
export function startBulk() {
  startForm(start);
  byId("bulk-cancel").addEventListener("click", () => shown?.controller.abort());
  const ended = () => (shown && !shown.running ? shown : null);
  document.addEventListener("theme", () => {
    const run = ended();
    if (run) drawChart(run);
  });
  onLanguage(() => {
    drawForm();
    drawProgress();
    const run = ended();
    if (run) drawResult(run);
  });
}
