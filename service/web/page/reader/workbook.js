// The sheets of an Excel workbook (.xlsx), read by libraries that are fetched when one is chosen.

import { library } from "../dom.js";
import { findLayout } from "./layout.js";
import { MAX_BYTES, Unreadable } from "./unreadable.js";

const SAMPLE_ROWS = 200;
// What a formula that failed shows.
const ERROR = /^#(?:NULL!|DIV\/0!|VALUE!|REF!|NAME\?|NUM!|N\/A|SPILL!|CALC!)$/;
const NEEDED = /^(?:\[Content_Types\]\.xml|_rels\/.*|xl\/(?!media\/|drawings\/|charts\/).*\.(?:xml|rels))$/;

/**
 * Return the workbook without compression, which the reader would undo in a worker; the page's
 * policy forbids that. What is unpacked never exceeds the lengths that the archive names.
 *
 * @param {Uint8Array} bytes
 * @returns {Promise<ArrayBuffer>}
 */
async function unpacked(bytes) {
  const { unzipSync, zipSync } = await library("fflate");
  let length = 0;
  /** @type {Record<string, Uint8Array>} */
  let parts;
  try {
    parts = unzipSync(bytes, {
      /** @param {{ name: string, originalSize: number }} part */
      filter: ({ name, originalSize }) => {
        if (!NEEDED.test(name)) return false;
        length += originalSize;
        if (length > MAX_BYTES) throw new Unreadable("tooLarge");
        return true;
      },
    });
  } catch (error) {
    throw error instanceof Unreadable ? error : new Unreadable("damaged");
  }
  if (!parts["xl/workbook.xml"]) throw new Unreadable("zip");
  return zipSync(parts, { level: 0 }).buffer;
}

/** @param {unknown} value */
function written(value) {
  if (value === null || value === undefined) return "";
  if (!(value instanceof Date)) return String(value);
  const [day, time] = value.toISOString().slice(0, 19).split("T");
  return time === "00:00:00" ? day : `${day} ${time}`;
}

/**
 * Read a sheet: the first that holds something, or the one that is chosen; null if none does.
 *
 * @type {(bytes: Uint8Array, options: ReadOptions) => Promise<Rows | null>}
 */
export async function readWorkbook(bytes, options) {
  const readXlsxFile = await library("readXlsxFile");
  const workbook = await unpacked(bytes);
  /** @type {{ sheet: string, data: unknown[][] }[]} */
  let found;
  try {
    found = await readXlsxFile(workbook, { trim: false });
  } catch {
    throw new Unreadable("damaged");
  }
  const sheets = found
    .map(({ sheet, data }) => ({ sheet, rows: rowsOf(data) }))
    .filter(({ rows }) => rows.length)
    .map(({ sheet, rows }) => ({ sheet, ...laidOut(rows, options.header) }));
  const chosen =
    sheets.find(({ sheet }) => sheet === options.sheet) ?? sheets.find(({ unsure }) => !unsure) ?? sheets[0];
  return chosen ? { ...chosen, sheets: sheets.map(({ sheet }) => sheet) } : null;
}

/** @type {(all: FileRow[], header?: boolean) => Rows} */
function laidOut(all, header) {
  const sample = all.slice(0, SAMPLE_ROWS).map((row) => row.cells);
  const filled = sample.map((cells) => cells.filter(Boolean).length);
  const usual = [...filled].sort((a, b) => a - b)[filled.length >> 1];
  // A title above the header fills one cell of many.
  const start = usual > 1 ? Math.max(0, filled.findIndex((number) => number > 1)) : 0;
  const rows = all.slice(start);
  const cells = sample.slice(start);
  const layout = findLayout(cells, header);
  const names = layout.header ? cells[0] : cells[0].map((_, index) => `column_${index + 1}`);
  return { names, rows: layout.header ? rows.slice(1) : rows, ...layout };
}

/** @param {unknown} value */
const isText = (value) => (typeof value === "string" ? !ERROR.test(value) : typeof value === "number" || value === null);

/** @type {(data: unknown[][]) => FileRow[]} the rows that are not blank, all of the same width */
function rowsOf(data) {
  const all = data.map((row, index) => ({
    number: index + 1,
    cells: row.map(written),
    others: [...row.keys()].filter((column) => !isText(row[column])),
  }));
  const rows = all.filter(({ cells }) => cells.some(Boolean));
  const width = rows.reduce((most, { cells }) => Math.max(most, filledWidth(cells)), 0);
  return rows.map(({ number, cells, others }) => ({
    number,
    others,
    cells: Array.from({ length: width }, (_, index) => cells[index] ?? ""),
  }));
}

/** @param {string[]} cells */
function filledWidth(cells) {
  let width = cells.length;
  while (width && !cells[width - 1]) width -= 1;
  return width;
}
