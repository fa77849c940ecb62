// What a run found: a summary, a chart where the file has a column for one, the rows, and what the
// visitor has marked.

import { byId, element } from "../dom.js";
import { percent, t, wholeNumber } from "../texts.js";
import { card, LABELS, shape } from "../views.js";
import { chartCard, redraw } from "./chart.js";
import { FORMULA, markedTexts, saveCorrected, saveLabelled } from "./download.js";
import { tableView } from "./table.js";

/** @typedef {import("./run.js").Run} Run */

/**
 * Say how a run has ended.
 *
 * @param {Run} run
 * @returns {string}
 */
export const endWords = (run) => t(run.ended, wholeNumber(run.done), wholeNumber(run.total));

/**
 * Draw the result of a run that has ended.
 *
 * @param {Run} run
 */
export function drawResult(run) {
  const cards = run.done ? [summaryCard(run), chartCard(run), rowsCard(run)] : [];
  byId("bulk-result").replaceChildren(...cards.filter((each) => each !== null));
  if (!run.done) return;
  drawMarks(run);
  redraw();
}

/** @param {Run} run */
function summaryCard(run) {
  const { byLabel, uncertainBy, uncertain, answered, errors } = run.counts();
  const body = element("tbody");
  /** @param {number} number */
  const share = (number) => (answered ? percent(number / answered) : "–");
  for (const label of LABELS) {
    const fill = element("span", { class: "fill" });
    fill.style.setProperty("--share", String(answered ? byLabel[label] / answered : 0));
    body.append(
      element(
        "tr",
        { "data-label": label },
        element("th", { scope: "row" }, shape(label), t(label)),
        element("td", {}, wholeNumber(byLabel[label])),
        element("td", {}, share(byLabel[label])),
        element("td", { class: "bar", "aria-hidden": "true" }, element("span", { class: "track" }, fill)),
        element("td", {}, wholeNumber(uncertainBy[label])),
      ),
    );
  }
  const empty = element("td", { class: "bar", "aria-hidden": "true" });
  const names = ["label", "number", "share"].map((key) => heading(t(/** @type {"label"} */ (key))));
  const head = element("tr", {}, ...names, empty, heading(t("ofThemUncertain")));
  const words = [endWords(run), t("uncertainOf", wholeNumber(uncertain), share(uncertain))];
  if (errors) words.push(t("withoutAnswer", wholeNumber(errors)));
  const box = card(
    run.name ? t("resultsOf", run.name) : t("results"),
    element("p", { class: "lead", id: "bulk-summary" }, words.join(t("sentenceSpace"))),
    element(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": t("labels") },
      element("table", { class: "plain numbers" }, element("thead", {}, head), body),
    ),
  );
  box.append(...downloads(run));
  return box;
}

/** @param {string} words */
const heading = (words) => element("th", { scope: "col" }, words);

/** @param {Run} run */
function downloads(run) {
  const button = element("button", { type: "button", class: "primary", id: "bulk-download" }, t("download"));
  button.addEventListener("click", () => saveLabelled(run));
  const file = element("span", { class: "hint" }, `${run.stem}.labelled.csv`);
  const parts = [element("div", { class: "under" }, file, button)];
  const risky = [{ cells: run.names }, ...run.rows].filter(({ cells }) => cells.some((cell) => FORMULA.test(cell)));
  if (risky.length) {
    const escape = element("input", { type: "checkbox", id: "bulk-escape" });
    escape.checked = run.escape;
    escape.addEventListener("change", () => (run.escape = escape.checked));
    parts.push(
      element(
        "div",
        {},
        element("p", { class: "hint" }, t("formulas", risky.length)),
        element("label", { class: "check" }, escape, t("escapeFormulas")),
      ),
    );
  }
  return parts;
}

/** @param {Run} run */
function rowsCard(run) {
  return card(
    t("rows"),
    element("p", { class: "hint" }, t("rowsHint")),
    ...tableView(run),
    element("div", { id: "bulk-marks", class: "marks" }),
  );
}

/**
 * Show how many texts are marked, and how to train on them.
 *
 * @param {Run} run
 */
export function drawMarks(run) {
  const place = byId("bulk-marks");
  if (!place) return;
  const marked = markedTexts(run).length;
  place.hidden = !marked;
  const name = `${run.stem}.corrected.csv`;
  const button = element("button", { type: "button", class: "quiet", id: "bulk-save-marks" }, t("saveMarks"));
  button.addEventListener("click", () => saveCorrected(run));
  place.replaceChildren(
    element("div", { class: "under" }, element("span", { id: "bulk-marked" }, t("marked", wholeNumber(marked))), button),
    element("p", { class: "hint" }, ...trainingWords(name)),
  );
}

/** @param {string} name */
function trainingWords(name) {
  const command = `.venv/bin/sentiment train --from zh-general ${/\s/.test(name) ? `'${name}'` : name}`;
  const [before, after] = t("trainOnMarks").split("{command}");
  return [before, element("code", {}, command), after];
}
