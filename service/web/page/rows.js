// A chosen file as rows of cells: its encoding, whether the first row names the columns, and which
// column holds the texts.

import { library } from "./dom.js";

const TEXT_COLUMN_NAMES = /^(text|texts|review|content|comment|sentence|文本|评论|评价|内容|正文)$/i;
const CHINESE = /\p{Script=Han}/gu;

/**
 * Split a text into its lines that are not blank.
 *
 * @param {string} text
 */
export const lines = (text) => text.split(/\r\n|\n|\r/).filter((line) => line.trim());

/** @param {string} text */
const countChinese = (text) => (text.match(CHINESE) ?? []).length;

/**
 * Choose UTF-8, or what spreadsheets write in China: GB 18030; a byte order mark means UTF-16.
 *
 * @param {ArrayBuffer} buffer
 * @returns {[string, TextDecoder]}
 */
function decoderFor(buffer) {
  const start = new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength));
  if (start[0] === 0xff && start[1] === 0xfe) return ["utf-16le", new TextDecoder("utf-16le")];
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(buffer);
    return ["utf-8", new TextDecoder("utf-8")];
  } catch {
    return ["gb18030", new TextDecoder("gb18030", { fatal: true })];
  }
}

/**
 * Choose the column with a usual name, or else the one with the most Chinese in its first rows.
 *
 * @param {string[][]} rows
 */
function guessColumns(rows) {
  const [first, ...others] = rows;
  const named = first.findIndex((cell) => TEXT_COLUMN_NAMES.test(cell.trim()));
  if (named >= 0) return { headed: rows.length > 1, column: named };
  const sample = others.length ? others.slice(0, 50) : rows;
  const amounts = first.map((_, index) =>
    sample.reduce((sum, row) => sum + countChinese(row[index] ?? ""), 0),
  );
  const column = amounts.indexOf(Math.max(...amounts));
  return { headed: rows.length > 1 && countChinese(first[column]) === 0, column };
}

/**
 * Read a file; null if it has no row. Throws a TypeError if it is not text.
 *
 * @param {File} picked
 * @returns {Promise<ReadFile | null>}
 */
export async function readRows(picked) {
  const buffer = await picked.arrayBuffer();
  const [encoding, decoder] = decoderFor(buffer);
  const text = decoder.decode(buffer);
  const { name } = picked;
  if (/\.txt$/i.test(name)) {
    const rows = lines(text).map((line) => [line]);
    return rows.length ? { name, encoding, rows, headed: false, column: 0 } : null;
  }
  const Papa = await library("Papa");
  const rows = Papa.parse(text, { skipEmptyLines: true }).data;
  return rows.length ? { name, encoding, rows, ...guessColumns(rows) } : null;
}
