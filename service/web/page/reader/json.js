// Rows that are JSON objects: one a line, or an array of them. The same rules in Python:
// model/bulk/json_rows.py.

import { textColumn } from "./layout.js";
import { Unreadable } from "./unreadable.js";

const SAMPLE_ROWS = 200;
// Objects inside objects that become columns with dotted names.
const MAX_DEPTH = 4;
// Names of fields that become columns.
const MAX_NAMES = 1000;
const ARRAY_START = /^\s*\[/;
const NUMBERS_START = /^\s*\[\s*[^\s{\]"]/;

/**
 * Parse JSON; numbers stay as they are written, since an id may have more digits than a number holds.
 *
 * @param {string} text
 */
function parse(text) {
  /** @type {(key: string, value: unknown, context?: { source: string }) => unknown} */
  const revive = (_, value, context) =>
    typeof value === "number" ? new Written(context?.source ?? String(value)) : value;
  return JSON.parse(text, revive);
}

/** A number as it is written. */
class Written {
  /** @param {string} source */
  constructor(source) {
    this.source = source;
  }

  toJSON() {
    const number = Number(this.source);
    return String(number) === this.source ? number : this.source;
  }
}

/** @param {unknown} value */
const isObject = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Written);

/** @type {(fields: Record<string, unknown>, prefix?: string, depth?: number) => [string, unknown][]} */
const flattened = (fields, prefix = "", depth = 0) =>
  Object.entries(fields).flatMap(([name, value]) =>
    isObject(value) && depth < MAX_DEPTH
      ? flattened(/** @type {Record<string, unknown>} */ (value), `${prefix}${name}.`, depth + 1)
      : [/** @type {[string, unknown]} */ ([prefix + name, value])],
  );

/** @param {unknown} value */
function written(value) {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "";
  return value instanceof Written ? value.source : JSON.stringify(value);
}

/** @param {string} text */
export const isArray = (text) => ARRAY_START.test(text) && !NUMBERS_START.test(text);

/**
 * Read an array of objects. Throws a SyntaxError if it is not JSON.
 *
 * @param {import("./encodings.js").Line[]} lines
 */
export function readArray(lines) {
  const broken = lines.some((line) => line.broken);
  /** @type {unknown[]} */
  const values = parse(lines.map((line) => line.text).join(""));
  return rowsOf(
    values.map((value, index) => {
      const number = index + 1;
      const isBroken = broken && JSON.stringify(value).includes("\ufffd");
      return isBroken ? { number, value, problem: { kind: "encoding" } } : { number, value };
    }),
  );
}

/**
 * Read an object a line.
 *
 * @param {import("./encodings.js").Line[]} lines
 */
export function readLines(lines) {
  const found = lines.map((line, index) => ({ line, number: index + 1 })).filter(({ line }) => line.text.trim());
  return rowsOf(
    found.map(({ line, number }) => {
      if (line.broken) return { number, raw: line.text, problem: { kind: "encoding" } };
      try {
        return { number, value: parse(line.text), raw: line.text };
      } catch {
        return { number, raw: line.text, problem: { kind: "json" } };
      }
    }),
  );
}

/**
 * @param {{ number: number, value?: unknown, raw?: string, problem?: RowProblem }[]} found
 * @returns {Rows | null}
 */
function rowsOf(found) {
  const flat = found.map(({ value }) =>
    isObject(value) ? new Map(flattened(/** @type {Record<string, unknown>} */ (value))) : null,
  );
  /** @type {Map<string, number>} */
  const columns = new Map();
  for (const fields of flat) {
    for (const name of fields?.keys() ?? []) {
      if (!columns.has(name) && columns.size < MAX_NAMES) columns.set(name, columns.size);
    }
  }
  if (!columns.size && found.length) throw new Unreadable("noObjects");
  if (!columns.size) return null;
  const names = [...columns.keys()];
  const rows = found.map(({ number, value, raw, problem }, index) => {
    const fields = flat[index];
    if (!fields) {
      const cells = [(raw ?? JSON.stringify(value)).trim()];
      return { number, cells, problem: problem ?? { kind: "json" } };
    }
    const cells = names.map((name) => written(fields.get(name)));
    // A number or a list is no text, however it is written.
    const others = names.flatMap((name, column) => (typeof fields.get(name) === "string" ? [] : [column]));
    return { number, cells, others, problem };
  });
  const sample = flat.filter((fields) => fields !== null).slice(0, SAMPLE_ROWS);
  /** @type {(value: unknown) => string} */
  const sampled = (value) => (Array.isArray(value) ? "" : written(value));
  const cells = sample.map((fields) => names.map((name) => sampled(fields.get(name))));
  const { column, unsure } = textColumn(names, cells);
  return { names, rows, column, unsure };
}
