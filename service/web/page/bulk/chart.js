// A chart of the labels by a column of the file, and the same numbers as a table.

import { byId, element, library } from "../dom.js";
import { percent, t, wholeNumber } from "../texts.js";
import { card, LABELS, shape, SHAPES } from "../views.js";
import { groupColumns, groupsOf } from "./groups.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./groups.js").Group} Group */

const ROW_HEIGHT_REM = 1.9;

/** @type {{ destroy(): void } | null} */
let chart = null;
/** @type {{ run: Run, column: number, asShares: boolean } | null} what is drawn */
let drawn = null;

/**
 * Return the card of the chart, or null where no column groups the rows.
 *
 * @param {Run} run
 */
export function chartCard(run) {
  const columns = groupColumns(run);
  if (!columns.length) return null;
  if (drawn?.run !== run) drawn = { run, column: columns[0].column, asShares: false };
  const state = drawn;
  const select = element("select", { id: "bulk-group" });
  for (const { column } of columns) {
    const option = element("option", { value: column }, run.names[column] || t("unnamedColumn", column + 1));
    option.selected = column === state.column;
    select.append(option);
  }
  select.addEventListener("change", () => {
    state.column = Number(select.value);
    redraw();
  });
  const shares = element("input", { type: "checkbox", id: "bulk-shares" });
  shares.checked = state.asShares;
  shares.addEventListener("change", () => {
    state.asShares = shares.checked;
    redraw();
  });
  const canvas = element("canvas", { id: "bulk-chart", role: "img" });
  return card(
    t("chartTitle"),
    element(
      "div",
      { class: "options" },
      element("label", {}, t("chartBy"), select),
      element("label", { class: "check" }, shares, t("asShares")),
    ),
    element("div", { class: "chart" }, canvas),
    element(
      "details",
      {},
      element("summary", {}, t("chartNumbers")),
      element(
        "div",
        { class: "scroll", tabindex: "0", role: "group", "aria-label": t("chartNumbers") },
        element("table", { class: "plain numbers", id: "bulk-groups" }),
      ),
    ),
  );
}

/** Draw the chart and its numbers anew, in the colours of the theme. */
export async function redraw() {
  const canvas = byId("bulk-chart", HTMLCanvasElement);
  if (!canvas || !drawn) return;
  const { run, column } = drawn;
  const by = groupColumns(run).find((each) => each.column === column);
  if (!by) return;
  const groups = groupsOf(run, by, t("otherGroups"));
  byId("bulk-groups").replaceChildren(...numbers(groups));
  canvas.setAttribute("aria-label", t("chartSummary", run.names[column], wholeNumber(groups.length)));
  const isTime = by.kind === "date";
  const height = isTime ? 16 : Math.max(8, (groups.length + 2) * ROW_HEIGHT_REM);
  canvas.parentElement?.style.setProperty("height", `${height}rem`);
  const Chart = await library("Chart").catch(() => null);
  if (!Chart || !canvas.isConnected) return; // the numbers are there
  chart?.destroy();
  chart = new Chart(canvas, settings(groups, isTime, drawn.asShares));
}

/** @param {Group} group */
const sizeOf = ({ counts }) => LABELS.reduce((sum, label) => sum + counts[label], 0);

/** @param {number} share */
const wholePercent = (share) => `${Math.round(share * 100)}%`;

/** @type {(groups: Group[], isTime: boolean, asShares: boolean) => object} */
function settings(groups, isTime, asShares) {
  // A canvas knows no custom properties: the colours are read from elements that have them.
  const colours = LABELS.map((label) => {
    const mark = document.querySelector(`#bulk-result tr[data-label=${label}] .shape`);
    return getComputedStyle(/** @type {Element} */ (mark)).color;
  });
  const body = getComputedStyle(document.body);
  const ink = body.color;
  const font = { family: body.fontFamily, size: 13 };
  const values = {
    stacked: true,
    beginAtZero: true,
    max: asShares ? 1 : undefined,
    ticks: { color: ink, font, ...(asShares ? { stepSize: 0.25, callback: wholePercent } : { precision: 0 }) },
    grid: { color: `color-mix(in srgb, ${ink} 15%, transparent)` },
    border: { display: false },
  };
  const names = {
    stacked: true,
    ticks: { color: ink, font, maxRotation: 0, autoSkip: isTime, autoSkipPadding: 12 },
    grid: { display: false },
    border: { display: false },
  };
  return {
    type: "bar",
    data: {
      labels: groups.map(({ name }) => name),
      datasets: LABELS.map((label, index) => ({
        label: `${SHAPES[label]} ${t(label)}`,
        data: groups.map((group) => (asShares ? group.counts[label] / (sizeOf(group) || 1) : group.counts[label])),
        backgroundColor: colours[index],
        maxBarThickness: 34,
      })),
    },
    options: {
      indexAxis: isTime ? "x" : "y",
      animation: false,
      maintainAspectRatio: false,
      plugins: { legend: { labels: { color: ink, font, boxWidth: 14 } } },
      scales: isTime ? { x: names, y: values } : { x: values, y: names },
    },
  };
}

/** @param {Group[]} groups */
function numbers(groups) {
  const head = element("tr", {}, element("th", { scope: "col" }, t("group")));
  for (const label of LABELS) head.append(element("th", { scope: "col", "data-label": label }, shape(label), t(label)));
  const body = element("tbody");
  for (const group of groups) {
    const row = element("tr", {}, element("th", { scope: "row" }, group.name));
    const size = sizeOf(group);
    for (const label of LABELS) {
      const number = group.counts[label];
      const share = size ? ` (${percent(number / size)})` : "";
      row.append(element("td", {}, wholeNumber(number) + share));
    }
    body.append(row);
  }
  return [element("thead", {}, head), body];
}
