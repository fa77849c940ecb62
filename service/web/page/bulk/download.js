// The files that a result is saved as: all rows with their labels, and the rows that were marked.

import { countMarks, markOf, marksSaved } from "../corrections.js";
import { saveCsv } from "../dom.js";
import { LABELS } from "../views.js";

/** @typedef {import("./run.js").Run} Run */

const ADDED_COLUMNS = ["label", "confidence", "uncertain", ...LABELS];

/** The beginning of a cell that a spreadsheet may run. */
export const FORMULA = /^[=+\-@\t\r]/;

/**
 * Return the names of the added columns: all with a prefix if the table has one of them already,
 * whatever its case. The same rule in Python: model/bulk/table.py.
 *
 * @param {string[]} names
 */
export function addedNames(names) {
  const taken = new Set(names.map((name) => name.trim().toLowerCase()));
  /** @param {number} tries */
  const prefix = (tries) => (tries ? `sentiment${tries > 1 ? tries : ""}_` : "");
  /** @type {(columns: string[], from: number) => number} */
  const firstFree = (columns, from) =>
    columns.some((column) => taken.has(prefix(from) + column)) ? firstFree(columns, from + 1) : from;
  const own = firstFree(ADDED_COLUMNS, 0);
  const error = firstFree(["error"], own);
  return [...ADDED_COLUMNS.map((column) => prefix(own) + column), `${prefix(error)}error`];
}

/** @type {(run: Run, row: number) => string[]} */
function addedCells(run, row) {
  const result = run.results[row];
  if (!result?.label) return [...ADDED_COLUMNS.map(() => ""), run.writtenErrorOf(row)];
  const { label, confidence, uncertain, probabilities } = result;
  return [label, ...[confidence, uncertain, ...LABELS.map((each) => probabilities[each])].map(String), ""];
}

/**
 * Save all rows: the columns of the file unchanged, then ours.
 *
 * @param {Run} run
 */
export function saveLabelled(run) {
  const width = run.rows.reduce((most, { cells }) => Math.max(most, cells.length), run.names.length);
  const names = Array.from({ length: width }, (_, index) => run.names[index] ?? `column_${index + 1}`);
  const table = run.rows.map(({ cells }, row) => [...names.map((_, index) => cells[index] ?? ""), ...addedCells(run, row)]);
  const rows = [[...names, ...addedNames(names)], ...table];
  /** @param {string} cell */
  const escaped = (cell) => (FORMULA.test(cell) ? `'${cell}` : cell);
  saveCsv(`${run.stem}.labelled.csv`, run.escape ? rows.map((row) => row.map(escaped)) : rows);
}

/** @param {Run} run */
export const markedTexts = (run) => (countMarks() ? [...new Set(run.texts)].filter(markOf) : []);

/**
 * Save the marked texts and their labels, as `sentiment train` takes them, and the number of the first row of each.
 *
 * @param {Run} run
 */
export function saveCorrected(run) {
  const texts = markedTexts(run);
  const rows = texts.map((text) => {
    const mark = markOf(text);
    return mark ? [text, mark.label, mark.marked, String(run.rows[run.texts.indexOf(text)].number)] : [];
  });
  saveCsv(`${run.stem}.corrected.csv`, [["text", "label", "marked", "row"], ...rows]);
  marksSaved(texts);
}
