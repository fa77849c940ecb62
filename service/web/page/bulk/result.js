// What a run found: the labels as a table and a chart, and the rows.

import { byId, element, library } from "../dom.js";
import { percent, t, wholeNumber } from "../texts.js";
import { card, LABELS, SHAPES, shape } from "../views.js";
import { FORMULA, download } from "./download.js";

/** @typedef {import("./run.js").Run} Run */

const SHOWN_ROWS = 200;

/** @type {{ destroy(): void } | null} */
let chart = null;

/**
 * Say how a run has ended.
 *
 * @param {Run} run
 * @returns {string}
 */
export const endWords = (run) => t(run.ended, wholeNumber(run.done), wholeNumber(run.texts.length));

/**
 * Draw the result of a run that has ended.
 *
 * @param {Run} run
 */
export function drawResult(run) {
  byId("bulk-result").replaceChildren(...(run.done ? [labelsCard(run), resultsCard(run)] : []));
  if (run.done) drawChart(run);
}

/** @param {Run} run */
function labelsCard(run) {
  const { byLabel, answered, errors } = run.counts();
  const body = element("tbody");
  for (const label of LABELS) {
    body.append(
      element(
        "tr",
        { "data-label": label },
        element("th", { scope: "row" }, shape(label), t(label)),
        element("td", {}, wholeNumber(byLabel[label])),
        element("td", {}, answered ? percent(byLabel[label] / answered) : "–"),
      ),
    );
  }
  if (errors) {
    body.append(
      element(
        "tr",
        {},
        element("th", { scope: "row" }, t("errors")),
        element("td", {}, wholeNumber(errors)),
        element("td", {}, ""),
      ),
    );
  }
  return card(
    t("labels"),
    element(
      "div",
      { class: "pair" },
      element("div", { class: "chart" }, element("canvas", { id: "bulk-chart", role: "img" })),
      element("table", { class: "plain" }, headerRow("label", "number", "share"), body),
    ),
  );
}

/** @param {...import("../texts.js").Key} names */
function headerRow(...names) {
  const cells = names.map((name) => element("th", { scope: "col" }, t(name)));
  return element("thead", {}, element("tr", {}, ...cells));
}

/**
 * Draw the chart anew, in the colours of the theme.
 *
 * @param {Run} run
 */
export async function drawChart(run) {
  const canvas = byId("bulk-chart", HTMLCanvasElement);
  if (!canvas) return;
  const { byLabel, answered } = run.counts();
  const parts = LABELS.map((label) =>
    t("chartPart", t(label), wholeNumber(byLabel[label]), percent(answered && byLabel[label] / answered)),
  );
  canvas.setAttribute("aria-label", t("chartSummary", parts.join(t("listComma"))));
  const Chart = await library("Chart");
  const style = getComputedStyle(document.documentElement);
  // A canvas knows no custom properties: the colours are read from elements that have them.
  const colours = LABELS.map((label) => {
    const mark = document.querySelector(`#bulk-result tr[data-label=${label}] .shape`);
    return getComputedStyle(/** @type {Element} */ (mark)).color;
  });
  const ink = getComputedStyle(document.body).color;
  const axis = { grid: { display: false }, border: { display: false } };
  chart?.destroy();
  chart = new Chart(canvas, {
    type: "bar",
    data: {
      labels: LABELS.map((label) => `${SHAPES[label]} ${t(label)}`),
      datasets: [
        {
          data: LABELS.map((label) => byLabel[label]),
          backgroundColor: colours,
          borderRadius: 4,
          maxBarThickness: 34,
        },
      ],
    },
    options: {
      indexAxis: "y",
      animation: false,
      maintainAspectRatio: false,
      color: ink,
      font: { family: style.fontFamily },
      plugins: { legend: { display: false } },
      scales: {
        x: { ticks: { color: ink, precision: 0 }, ...axis },
        y: { ticks: { color: ink, font: { size: 14 } }, ...axis },
      },
    },
  });
}

/** @param {Run} run */
function resultsCard(run) {
  const button = element("button", { type: "button", class: "primary", id: "bulk-download" }, t("download"));
  button.addEventListener("click", () => download(run));
  const box = card(t("results"));
  box.append(element("div", { class: "under" }, element("span", { class: "hint" }, endWords(run)), button));
  const risky = [run.names, ...run.rows].filter((row) => row.some((cell) => FORMULA.test(cell))).length;
  if (risky) {
    const escape = element("input", { type: "checkbox", id: "bulk-escape" });
    escape.checked = run.escape;
    escape.addEventListener("change", () => (run.escape = escape.checked));
    box.append(
      element("p", { class: "hint" }, t("formulas", risky)),
      element("label", { class: "check" }, escape, t("escapeFormulas")),
    );
  }
  const all = run.texts.length;
  if (all > SHOWN_ROWS) {
    box.append(element("p", { class: "hint" }, t("onlyFirst", wholeNumber(SHOWN_ROWS), wholeNumber(all))));
  }
  const body = element("tbody");
  run.texts.slice(0, SHOWN_ROWS).forEach((text, index) => body.append(resultRow(run, text, index)));
  const table = element(
    "table",
    { class: "plain rows" },
    headerRow("row", "text", "label", "confidence"),
    body,
  );
  box.append(
    element("div", { class: "scroll tall", tabindex: "0", role: "group", "aria-label": t("results") }, table),
  );
  return box;
}

/** @type {(run: Run, text: string, index: number) => HTMLElement} */
function resultRow(run, text, index) {
  const result = run.results[index];
  const answer = result?.label
    ? [
        element("td", { "data-label": result.label, class: "nowrap" }, shape(result.label), t(result.label)),
        element("td", {}, percent(result.confidence)),
      ]
    : [element("td", { colspan: "2", class: "hint" }, run.errorOf(index))];
  return element(
    "tr",
    {},
    element("td", { class: "hint" }, wholeNumber(index + 1)),
    element("td", { class: "long", lang: "zh" }, text),
    ...answer,
  );
}
