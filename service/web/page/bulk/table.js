// The rows of a result as a table: sorted, filtered, searched, a page at a time; and marked by the
// visitor as right or wrong.

import { markOf, markText, unmarkText } from "../corrections.js";
import { byId, element } from "../dom.js";
import { openText } from "../single.js";
import { percent, t, wholeNumber } from "../texts.js";
import { LABELS, shape, SHAPES } from "../views.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {"row" | "text" | "label" | "confidence"} SortKey */

const PAGE_ROWS = 100;
/** @type {SortKey[]} */
const SORT_KEYS = ["row", "text", "label", "confidence"];

/** @type {{ sort: SortKey, descending: boolean, label: string, only: string, search: string, page: number }} */
const AT_FIRST = { sort: "row", descending: false, label: "", only: "", search: "", page: 0 };
let view = { ...AT_FIRST };

/** Forget how the last result was sorted and filtered. */
export function resetTable() {
  view = { ...AT_FIRST };
}

/** @type {(run: Run, row: number) => boolean} */
function isShown(run, row) {
  const result = run.results[row];
  const { label, only, search } = view;
  if (label && (label === "none" ? result?.label : result?.label !== label)) return false;
  if (only === "uncertain" && !(result?.label && result.uncertain)) return false;
  if (only === "certain" && !(result?.label && !result.uncertain)) return false;
  if (only === "marked" && !markOf(run.texts[row])) return false;
  return !search || run.rows[row].cells.some((cell) => cell.toLowerCase().includes(search));
}

/** @type {Record<SortKey, (run: Run, row: number) => string | number>} */
const VALUES = {
  row: (_, row) => row,
  text: (run, row) => run.texts[row],
  label: (run, row) => LABELS.indexOf(/** @type {Label} */ (run.results[row]?.label)),
  confidence: (run, row) => {
    const result = run.results[row];
    return result?.label ? result.confidence : -1;
  },
};

/**
 * Return the indices of the rows that are shown, in order.
 *
 * @param {Run} run
 */
function shownRows(run) {
  const rows = [...run.rows.keys()].filter((row) => isShown(run, row));
  const { compare } = new Intl.Collator("zh-CN");
  const value = VALUES[view.sort];
  const sign = view.descending ? -1 : 1;
  if (view.sort === "row") return view.descending ? rows.reverse() : rows;
  const keyed = rows.map((row) => ({ row, key: value(run, row) }));
  keyed.sort((a, b) => {
    const order = view.sort === "text" ? compare(String(a.key), String(b.key)) : Number(a.key) - Number(b.key);
    return sign * order || a.row - b.row;
  });
  return keyed.map(({ row }) => row);
}

/**
 * Show the rows of a run, with the controls above them.
 *
 * @param {Run} run
 * @returns {Node[]}
 */
export function tableView(run) {
  const table = element("table", { class: "plain rows", id: "bulk-rows" });
  const frame = { class: "scroll tall", tabindex: "0", role: "group", "aria-label": t("results") };
  const pager = element("div", { class: "under", id: "bulk-pager" });
  const parts = [filters(run), element("div", frame, table), pager];
  // They are found by their ids once they are on the page.
  queueMicrotask(() => drawRows(run));
  return parts;
}

/** @type {(id: string, label: string, options: [string, string][], value: string) => [HTMLElement, HTMLSelectElement]} */
function choice(id, label, options, value) {
  const select = element("select", { id });
  for (const [key, words] of options) {
    const option = element("option", { value: key }, words);
    option.selected = key === value;
    select.append(option);
  }
  return [element("label", {}, label, select), select];
}

/** @param {Run} run */
function filters(run) {
  /** @param {Partial<typeof view>} change */
  const update = (change) => {
    view = { ...view, ...change, page: 0 };
    drawRows(run);
  };
  const [labels, label] = choice(
    "bulk-by-label",
    t("label"),
    [["", t("allLabels")], ...LABELS.map((each) => /** @type {[string, string]} */ ([each, t(each)])), ["none", t("errors")]],
    view.label,
  );
  label.addEventListener("change", () => update({ label: label.value }));
  const [states, only] = choice(
    "bulk-only",
    t("show"),
    [["", t("showAll")], ["uncertain", t("showUncertain")], ["certain", t("showCertain")], ["marked", t("showMarked")]],
    view.only,
  );
  only.addEventListener("change", () => update({ only: only.value }));
  const search = element("input", { type: "search", id: "bulk-search", value: view.search });
  search.addEventListener("input", () => update({ search: search.value.trim().toLowerCase() }));
  return element("div", { class: "options" }, labels, states, element("label", {}, t("search"), search));
}

/** @param {Run} run */
function headRow(run) {
  const row = element("tr");
  for (const key of SORT_KEYS) {
    const sorted = view.sort === key;
    const button = element("button", { type: "button", class: "sort", id: `bulk-sort-${key}` }, t(key));
    const arrow = sorted ? (view.descending ? "↓" : "↑") : "↕";
    button.append(element("span", { "aria-hidden": "true", class: sorted ? null : "unsorted" }, ` ${arrow}`));
    button.addEventListener("click", () => {
      view = { ...view, sort: key, descending: sorted && !view.descending, page: 0 };
      drawRows(run);
      byId(`bulk-sort-${key}`).focus();
    });
    const order = view.descending ? "descending" : "ascending";
    row.append(element("th", { scope: "col", "aria-sort": sorted ? order : null }, button));
  }
  row.append(element("th", { scope: "col" }, t("yourLabel")));
  return element("thead", {}, row);
}

/** @param {Run} run */
function drawRows(run) {
  const rows = shownRows(run);
  const first = view.page * PAGE_ROWS;
  const body = element("tbody");
  for (const row of rows.slice(first, first + PAGE_ROWS)) body.append(resultRow(run, row));
  byId("bulk-rows").replaceChildren(headRow(run), body);
  drawPager(run, rows.length, first);
}

/** @type {(run: Run, shown: number, first: number) => void} */
function drawPager(run, shown, first) {
  const last = Math.min(first + PAGE_ROWS, shown);
  /** @type {(id: string, key: import("../texts.js").Key, step: number, enabled: boolean) => HTMLElement} */
  const button = (id, key, step, enabled) => {
    const node = element("button", { type: "button", class: "quiet", id, disabled: !enabled }, t(key));
    node.addEventListener("click", () => {
      view.page += step;
      drawRows(run);
      const again = byId(id, HTMLButtonElement);
      (again.disabled ? /** @type {HTMLElement | null} */ (byId("bulk-pager").querySelector("button:enabled")) : again)?.focus();
      byId("bulk-rows").parentElement?.scrollTo(0, 0);
    });
    return node;
  };
  const range = shown ? t("rowsShown", wholeNumber(first + 1), wholeNumber(last), wholeNumber(shown)) : t("noRows");
  const words = [element("span", { class: "hint", id: "bulk-range", role: "status" }, range)];
  if (shown > PAGE_ROWS) {
    words.push(
      element(
        "span",
        { class: "chips" },
        button("bulk-previous", "previousRows", -1, view.page > 0),
        button("bulk-next", "nextRows", 1, last < shown),
      ),
    );
  }
  byId("bulk-pager").replaceChildren(...words);
}

/** @type {(run: Run, row: number) => HTMLElement} */
function resultRow(run, row) {
  const result = run.results[row];
  const text = run.texts[row];
  const { number } = run.rows[row];
  const line = element("tr", {}, element("td", { class: "hint" }, wholeNumber(number)));
  if (!result?.label) {
    line.append(
      element("td", { class: "long", lang: "zh" }, element("span", { class: "cell" }, text)),
      element("td", { colspan: "3", class: "hint" }, run.errorOf(row)),
    );
    return line;
  }
  const why = element("button", { type: "button", class: "cell why", title: t("openWhy"), lang: "zh" }, text);
  why.addEventListener("click", () => openText(text));
  const name = element("span", { class: "nowrap" }, shape(result.label), t(result.label));
  const label = element("td", { "data-label": result.label }, name);
  if (result.uncertain) label.append(" ", element("span", { class: "badge" }, t("uncertainMark")));
  line.append(
    element("td", { class: "long" }, why),
    label,
    element("td", { class: "value" }, percent(result.confidence)),
    element("td", {}, marker(line, row, number, text, result.label)),
  );
  return line;
}

/**
 * Let the visitor say which label is right: that of the answer, or another.
 *
 * @type {(line: HTMLElement, row: number, number: number, text: string, answered: Label) => HTMLElement}
 */
function marker(line, row, number, text, answered) {
  const chosen = markOf(text)?.label ?? "";
  line.dataset.marked = markOf(text)?.marked ?? "";
  const group = element("span", { class: "marker", role: "radiogroup", "aria-label": t("markRow", wholeNumber(number)) });
  for (const value of /** @type {const} */ (["", ...LABELS])) {
    const input = element("input", { type: "radio", name: `mark-${row}`, value, class: "unseen" });
    input.checked = value === chosen;
    input.addEventListener("change", () => {
      if (value) markText(text, value, answered);
      else unmarkText(text);
      line.dataset.marked = markOf(text)?.marked ?? "";
    });
    const words = value ? t(value) : t("notMarked");
    const attributes = { title: words, "data-label": value || null };
    const label = element("label", attributes, input, element("span", { "aria-hidden": "true" }, value ? SHAPES[value] : "–"));
    input.setAttribute("aria-label", words);
    group.append(label);
  }
  return group;
}
