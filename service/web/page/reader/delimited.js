// Rows of fields between delimiters, as strict CSV. No library does this: a row that cannot be parsed
// takes its first line only, since an unclosed quote would otherwise swallow every row after it. The
// same rules in Python: model/files.py and model/bulk/delimited.py.

import { DELIMITERS, findDelimiter, findLayout, isNameOfTexts, isNumber, usualWidth } from "./layout.js";

/** @typedef {import("./encodings.js").Line} Line */

// Rows that are looked at to find the layout, in at most so many lines.
const SAMPLE_ROWS = 200;
const SAMPLE_LINES = 2000;
const SEP_LINE = /^"?sep=([,;|\t])"?\s*$/i;
// The share of numbers that makes a column one of numbers.
const MOSTLY_NUMBERS = 0.9;

/**
 * Parse the row that begins at a line. Returns its fields and the next line, or what is wrong.
 *
 * @type {(lines: Line[], start: number, delimiter: string) => { fields: string[], next: number, problem?: RowProblem }}
 */
function parseRow(lines, start, delimiter) {
  const fields = [];
  let field = "";
  let quoted = false;
  for (let index = start; index < lines.length; index++) {
    const text = lines[index].text;
    for (let at = 0; at < text.length; ) {
      if (quoted) {
        const quote = text.indexOf('"', at);
        field += text.slice(at, quote < 0 ? undefined : quote);
        if (quote < 0) break;
        at = quote + 1;
        const after = text[at];
        if (after === '"') {
          field += '"';
          at += 1;
          continue;
        }
        quoted = false;
        if (after === undefined || after === delimiter || after === "\r" || after === "\n") continue;
        return { fields, next: start + 1, problem: { kind: "quote" } };
      }
      const character = text[at];
      if (character === delimiter) {
        fields.push(field);
        field = "";
        at += 1;
        if (text[at] === '"') [quoted, at] = [true, at + 1];
      } else if (at === 0 && index === start && character === '"') {
        [quoted, at] = [true, 1];
      } else if (character === "\n" || character === "\r") {
        if (text.slice(at).trim()) return { fields, next: start + 1, problem: { kind: "carriageReturn" } };
        break;
      } else {
        const from = at;
        while (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at += 1;
        field += text.slice(from, at);
      }
    }
    if (!quoted) return { fields: [...fields, field], next: index + 1 };
  }
  return { fields, next: start + 1, problem: { kind: "quote" } };
}

/**
 * Yield all rows, blank ones too; `isRow` tells of a line inside quotes whether it is a row itself.
 *
 * @param {Line[]} lines
 * @param {string} delimiter
 * @param {(line: Line) => boolean} [isRow]
 * @returns {Generator<FileRow & { blank: boolean }>}
 */
function* records(lines, delimiter, isRow = () => false) {
  let number = 0;
  for (let start = 0; start < lines.length; ) {
    let { fields, next, problem } = parseRow(lines, start, delimiter);
    const taken = lines.slice(start, next);
    if (!problem && taken.slice(1).some(isRow)) {
      [problem, next] = [{ kind: "quote" }, start + 1];
    }
    if (!problem && taken.some((line) => line.broken)) problem = { kind: "encoding" };
    number += 1;
    const blank = !problem && fields.length === 1 && fields[0] === "";
    const cells = problem?.kind === "quote" || problem?.kind === "carriageReturn" ? [withoutEnd(lines[start].text)] : fields;
    yield { number, cells, problem, blank };
    start = next;
  }
}

/** @param {string} line */
export function withoutEnd(line) {
  let end = line.length;
  while (end && "\r\n".includes(line[end - 1])) end -= 1;
  return line.slice(0, end);
}

/** @type {(lines: Line[], delimiter: string) => FileRow[]} the first rows */
function sampleOf(lines, delimiter) {
  const rows = [];
  for (const row of records(lines.slice(0, SAMPLE_LINES), delimiter)) {
    if (!row.blank) rows.push(row);
    if (rows.length === SAMPLE_ROWS) break;
  }
  return rows;
}

/**
 * Return the fields of some rows; a broken one shows nevertheless how many it has.
 *
 * @type {(rows: FileRow[], delimiter: string) => string[][]}
 */
const cellsOf = (rows, delimiter) =>
  rows.map((row) => (row.problem && row.cells.length === 1 ? row.cells[0].split(delimiter) : row.cells));

/**
 * Read rows of fields; null if there is none.
 *
 * @type {(all: Line[], usual: string, options: ReadOptions) => Rows | null}
 */
export function readDelimited(all, usual, options) {
  const told = all.length ? SEP_LINE.exec(all[0].text)?.[1] : undefined;
  const lines = told ? all.slice(1) : all;
  const order = [...new Set([usual, ...DELIMITERS])];
  const found = findDelimiter(new Map(order.map((each) => [each, cellsOf(sampleOf(lines, each), each)])));
  const delimiter = options.delimiter ?? told ?? found.delimiter;
  const sample = sampleOf(lines, delimiter);
  if (!sample.length) return null;
  const layout = findLayout(cellsOf(sample, delimiter), options.header);
  const { width } = layout;
  const numbers = numberColumns(sample.slice(1), width);
  /** @param {Line} line */
  const isRow = (line) => {
    const { fields, problem } = parseRow([line], 0, delimiter);
    return !problem && fields.length === width && numbers.every((index) => isNumber(fields[index]));
  };
  const rows = [];
  /** @type {string[] | null} */
  let header = null;
  for (const { blank, ...row } of records(lines, delimiter, numbers.length ? isRow : undefined)) {
    if (blank) continue;
    if (layout.header && !header) [header] = cellsOf([row], delimiter);
    else rows.push(withWidth(row, width));
  }
  const names = header ?? Array.from({ length: width }, (_, index) => `column_${index + 1}`);
  const isGuess = found.unsure && delimiter === found.delimiter;
  const isTwice = names.filter((name) => name.trim() === names[layout.column].trim()).length > 1;
  const unsure = layout.unsure || isGuess || isTwice || Boolean(sample[0].problem);
  return { names, rows, delimiter, header: layout.header, column: layout.column, unsure };
}

/** @type {(row: FileRow, width: number) => FileRow} */
const withWidth = (row, width) =>
  row.problem || row.cells.length === width
    ? row
    : { ...row, problem: { kind: "fields", found: row.cells.length, expected: width } };

/** @type {(rows: FileRow[], width: number) => number[]} the columns in which nearly every row has a number */
function numberColumns(rows, width) {
  const whole = rows.filter((row) => !row.problem && row.cells.length === width);
  return [...Array(width).keys()].filter(
    (index) =>
      whole.length > 0 &&
      whole.filter((row) => isNumber(row.cells[index])).length >= whole.length * MOSTLY_NUMBERS,
  );
}

/**
 * Whether a file of lines is a table: most lines are divided into as many fields, by tabs, or by
 * another delimiter if the first one names a column of texts, or if a column is one of numbers.
 *
 * @param {Line[]} lines
 */
export const isDelimited = (lines) =>
  DELIMITERS.some((delimiter) => {
    const rows = sampleOf(lines, delimiter);
    const width = usualWidth(rows.filter((row) => !row.problem).map((row) => row.cells));
    if (width < 2) return false;
    return delimiter === "\t" || rows[0].cells.some(isNameOfTexts) || numberColumns(rows, width).length > 0;
  });
