// Why a file is not read, and how large it may be.

/** The bytes of a file, unpacked, that are read into memory. */
export const MAX_BYTES = 64 * 2 ** 20;

/** @typedef {keyof typeof import("../en.js").en.unreadable} Why */

/** A file that is not read; the page has a sentence for each reason. */
export class Unreadable extends Error {
  /** @param {Why} why */
  constructor(why) {
    super(why);
    this.why = why;
  }
}

/** @type {[string, Why][]} */
const OTHERS = [
  ["\xd0\xcf\x11\xe0", "xls"],
  ["%PDF", "pdf"],
  ["\x89PNG", "image"],
  ["\xff\xd8\xff", "image"],
  ["GIF8", "image"],
  ["RIFF", "image"],
  ["7z\xbc\xaf", "archive"],
  ["Rar!", "archive"],
  ["BZh", "archive"],
  ["\xfd7zXZ", "archive"],
  ["(\xb5/\xfd", "archive"],
  ["PAR1", "parquet"],
  ["SQLite format 3", "sqlite"],
];
const HTML = /^\s*<(?:!doctype html|html|table|meta)/i;

/**
 * Throw if a file's first bytes are those of something that is no table.
 *
 * @param {Uint8Array} bytes
 */
export function checkContent(bytes) {
  const start = Array.from(bytes.subarray(0, 512), (byte) => String.fromCharCode(byte)).join("");
  const found = OTHERS.find(([magic]) => start.startsWith(magic));
  if (found) throw new Unreadable(found[1]);
  if (HTML.test(start.replace(/^\xef\xbb\xbf/, ""))) throw new Unreadable("html");
}
