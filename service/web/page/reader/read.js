// A chosen file as rows of cells, and what was understood of it. The visitor can correct each part;
// then the file is read again.

import { codecOf, decodedLines, findEncoding } from "./encodings.js";
import { isDelimited, readDelimited, withoutEnd } from "./delimited.js";
import { isArray, readArray, readLines } from "./json.js";
import { checkContent, MAX_BYTES, Unreadable } from "./unreadable.js";
import { readWorkbook } from "./workbook.js";

const GZIP = [0x1f, 0x8b];
const ZIP = [0x50, 0x4b];
const CONTROL = /[\0-\x08\x0e-\x1f]/g;
// A text may have a few such characters.
const MOST_CONTROL = 0.1;

/** @type {(bytes: Uint8Array, start: number[]) => boolean} */
const startsWith = (bytes, start) => start.every((byte, index) => bytes[index] === byte);

/**
 * Return a file's bytes, unpacked if it is compressed by gzip.
 *
 * @param {File} file
 */
export async function bytesOf(file) {
  if (file.size > MAX_BYTES) throw new Unreadable("tooLarge");
  const bytes = new Uint8Array(await file.arrayBuffer());
  return startsWith(bytes, GZIP) ? gunzipped(file) : bytes;
}

/** @param {File} file */
async function gunzipped(file) {
  const reader = file.stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const parts = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > MAX_BYTES) throw new Unreadable("tooLarge");
      parts.push(value);
    }
  } catch (error) {
    throw error instanceof Unreadable ? error : new Unreadable("damaged");
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * Read a file's bytes; null if it has no row. Throws `Unreadable`, or the error of a library that
 * could not be loaded.
 *
 * @param {string} name
 * @param {Uint8Array} bytes
 * @param {ReadOptions} [options] what the visitor has corrected
 * @returns {Promise<ReadFile | null>}
 */
export async function readFile(name, bytes, options = {}) {
  const plain = name.replace(/\.gz$/i, "");
  const suffix = /\.(\w+)$/.exec(plain)?.[1].toLowerCase() ?? "";
  const stem = plain.replace(/\.\w+$/, "");
  checkContent(bytes);
  if (startsWith(bytes, ZIP)) {
    const rows = await readWorkbook(bytes, options);
    return rows && { name, stem, form: "workbook", ...rows };
  }
  const found = findEncoding(bytes);
  const encoding = options.encoding ?? found.encoding;
  const lines = decodedLines(bytes, options.encoding ? codecOf(options.encoding, bytes) : found.codec);
  if (isBinary(lines)) throw new Unreadable("binary");
  const rows = rowsOf(suffix, lines, options);
  const isGuess = (found.unsure && !options.encoding) || isMostlyBroken(lines);
  return rows && { name, stem, encoding, ...rows, unsure: rows.unsure || isGuess };
}

/** @param {import("./encodings.js").Line[]} lines */
function isBinary(lines) {
  const start = lines.slice(0, 100).map((line) => line.text).join("").slice(0, 10_000);
  return (start.match(CONTROL)?.length ?? 0) > start.length * MOST_CONTROL;
}

/**
 * Whether most lines are not in the encoding that was found, as UTF-8 is where nothing else is.
 *
 * @param {import("./encodings.js").Line[]} lines
 */
function isMostlyBroken(lines) {
  const filled = lines.filter((line) => line.text.trim());
  return filled.filter((line) => line.broken).length * 2 > filled.length;
}

/** @type {(suffix: string, lines: import("./encodings.js").Line[], options: ReadOptions) => (Rows & { form: Form }) | null} */
function rowsOf(suffix, lines, options) {
  if (["json", "jsonl", "ndjson"].includes(suffix)) {
    const isLines = !isArray(lines.find((line) => line.text.trim())?.text ?? "");
    const rows = isLines ? readLines(lines) : readArrayOf(lines);
    return rows && { form: isLines ? "jsonLines" : "jsonArray", ...rows };
  }
  if (suffix === "txt" && !options.delimiter && !isDelimited(lines)) {
    const rows = lines
      .map(({ text, broken }, index) => ({
        number: index + 1,
        cells: [withoutEnd(text)],
        problem: broken ? /** @type {RowProblem} */ ({ kind: "encoding" }) : undefined,
      }))
      .filter((row) => row.cells[0].trim());
    return rows.length ? { form: "lines", names: ["text"], rows, column: 0, unsure: false } : null;
  }
  const rows = readDelimited(lines, suffix === "tsv" || suffix === "txt" ? "\t" : ",", options);
  return rows && { form: "delimited", ...rows };
}

/** @param {import("./encodings.js").Line[]} lines */
function readArrayOf(lines) {
  try {
    return readArray(lines);
  } catch (error) {
    throw error instanceof Unreadable ? error : new Unreadable("json");
  }
}
