// A chosen file: what was understood of it, its first rows, and how to correct what is wrong.

import { element } from "../dom.js";
import { ENCODINGS } from "../reader/encodings.js";
import { DELIMITERS } from "../reader/layout.js";
import { t, wholeNumber } from "../texts.js";

const SHOWN_ROWS = 3;
// Of a wide table: enough to recognise it.
const SHOWN_COLUMNS = 50;

/**
 * What the visitor can do with the file.
 *
 * @typedef {object} Actions
 * @property {(change: ReadOptions, focus: string) => void} reread
 * @property {(column: number) => void} chooseColumn
 * @property {() => void} removeFile
 */

/**
 * Show a file and the controls that correct how it is read.
 *
 * @type {(file: ReadFile, actions: Actions) => HTMLElement}
 */
export function filePreview(file, actions) {
  const remove = element("button", { type: "button", class: "quiet" }, t("removeFile"));
  remove.addEventListener("click", actions.removeFile);
  const box = element(
    "div",
    { class: "chosen" },
    element(
      "div",
      { class: "under" },
      element("p", { class: "lead" }, t("chosenFile", file.name, wholeNumber(file.rows.length))),
      remove,
    ),
    element("p", { class: "hint", id: "bulk-understood" }, understood(file)),
    controls(file, actions),
    firstRows(file),
  );
  if (file.unsure) box.append(element("p", { class: "waiting" }, t("checkGuess")));
  const broken = file.rows.filter((row) => row.problem);
  if (broken.length) {
    const { number, problem } = /** @type {{ number: number, problem: RowProblem }} */ (broken[0]);
    const words = t("brokenRows", wholeNumber(broken.length), wholeNumber(number), t("rowProblem")[problem.kind](problem));
    box.append(element("p", { class: "waiting" }, words));
  }
  return box;
}

/** @param {ReadFile} file */
function understood({ form, encoding, delimiter, header, sheet }) {
  const parts = [t("forms")[form]];
  if (encoding) parts.push(encoding);
  if (delimiter) parts.push(t("separatedBy", nameOf(delimiter)));
  if (sheet) parts.push(t("sheetNamed", sheet));
  if (header !== undefined) parts.push(t(header ? "withHeader" : "withoutHeader"));
  return t("understood", parts.join(" · "));
}

/** @param {string} delimiter */
const nameOf = (delimiter) => t("delimiters")[delimiter] ?? delimiter;

/**
 * Make a list to choose from.
 *
 * @type {(id: string, label: string, options: [string, string][], value: string, onChoice: (value: string) => void) => HTMLElement}
 */
function choice(id, label, options, value, onChoice) {
  const select = element("select", { id });
  for (const [key, words] of options) {
    const option = element("option", { value: key }, words);
    option.selected = key === value;
    select.append(option);
  }
  select.addEventListener("change", () => onChoice(select.value));
  return element("label", {}, label, select);
}

/** @type {(file: ReadFile, actions: Actions) => HTMLElement} */
function controls({ names, column, encoding, delimiter, header, sheet, sheets }, { reread, chooseColumn }) {
  /** @type {[string, string][]} */
  const columns = names.map((name, index) => [String(index), name.trim() || t("unnamedColumn", index + 1)]);
  const box = element(
    "div",
    { class: "options" },
    choice("bulk-column", t("textColumn"), columns, String(column), (value) => chooseColumn(Number(value))),
  );
  if (header !== undefined) {
    const input = element("input", { type: "checkbox", id: "bulk-header" });
    input.checked = header;
    input.addEventListener("change", () => reread({ header: input.checked }, "bulk-header"));
    box.append(element("label", { class: "check" }, input, t("headerRow")));
  }
  if (encoding) {
    /** @type {[string, string][]} */
    const names = ENCODINGS.map((name) => [name, name]);
    /** @param {string} value */
    const choose = (value) => reread({ encoding: /** @type {typeof encoding} */ (value) }, "bulk-encoding");
    box.append(choice("bulk-encoding", t("encoding"), names, encoding, choose));
  }
  if (delimiter) {
    /** @type {[string, string][]} */
    const known = [...new Set([...DELIMITERS, delimiter])].map((each) => [each, nameOf(each)]);
    box.append(choice("bulk-delimiter", t("delimiter"), known, delimiter, (value) => reread({ delimiter: value }, "bulk-delimiter")));
  }
  if (sheet && sheets && sheets.length > 1) {
    /** @type {[string, string][]} */
    const known = sheets.map((name) => [name, name]);
    box.append(choice("bulk-sheet", t("sheet"), known, sheet, (value) => reread({ sheet: value, header: undefined }, "bulk-sheet")));
  }
  return box;
}

/** @param {ReadFile} file */
function firstRows({ names, rows, column }) {
  // The column of the texts is always among those that are shown.
  const shown = [...names.keys()].filter((index) => index < SHOWN_COLUMNS || index === column);
  /** @param {number} index */
  const mark = (index) => ({ class: index === column ? "chosen-column" : null });
  const head = element("tr", {}, element("th", { scope: "col" }, t("row")));
  for (const index of shown) head.append(element("th", { scope: "col", ...mark(index) }, names[index]));
  const body = element("tbody");
  const readable = rows.filter((row) => !row.problem);
  for (const { number, cells } of (readable.length ? readable : rows).slice(0, SHOWN_ROWS)) {
    const line = element("tr", {}, element("th", { scope: "row", class: "hint" }, wholeNumber(number)));
    for (const index of shown) {
      line.append(element("td", { lang: "zh", ...mark(index) }, element("span", { class: "cell" }, cells[index] ?? "")));
    }
    body.append(line);
  }
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": t("firstRows") },
    element("table", { class: "plain preview" }, element("thead", {}, head), body),
  );
}
