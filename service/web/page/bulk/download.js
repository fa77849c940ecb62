// The result of a run as a CSV file.

import { library, save } from "../dom.js";
import { LABELS } from "../views.js";

const RESULT_COLUMNS = ["label", "confidence", ...LABELS, "error"];

/** The beginning of a cell that a spreadsheet may run. */
export const FORMULA = /^[=+\-@\t\r]/;

/** @type {(run: import("./run.js").Run, row: number) => string[]} */
function resultCells(run, row) {
  const result = run.results[row];
  if (!result?.label) return ["", "", "", "", "", run.errorOf(row)];
  const numbers = [result.confidence, ...LABELS.map((label) => result.probabilities[label])];
  return [result.label, ...numbers.map(String), ""];
}

/**
 * Prefix a name until no column has it.
 *
 * @type {(name: string, names: string[]) => string}
 */
function uniqueName(name, names) {
  return names.includes(name) ? uniqueName(`predicted_${name}`, names) : name;
}

/**
 * Save a CSV file: all columns unchanged, then ours.
 *
 * @param {import("./run.js").Run} run
 */
export async function download(run) {
  const Papa = await library("Papa");
  const { names, rows } = run;
  const ours = RESULT_COLUMNS.map((name) => uniqueName(name, names));
  const table = rows.map((row, index) => [
    ...names.map((_, column) => row[column] ?? ""),
    ...resultCells(run, index),
  ]);
  const escapeFormulae = run.escape && FORMULA;
  const text = Papa.unparse([[...names, ...ours], ...table], { escapeFormulae });
  save("sentiment.csv", [text, "\r\n"]);
}
