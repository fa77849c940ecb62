// The form: lines or a file, how the file is read, and what is wrong with it.

import { isReachable } from "../api.js";
import { byId, element } from "../dom.js";
import { bytesOf, readFile } from "../reader/read.js";
import { Unreadable } from "../reader/unreadable.js";
import { problemText, t, wholeNumber } from "../texts.js";
import { problemBox } from "../views.js";
import { filePreview } from "./preview.js";

const EXAMPLE = [
  "快递很快，包装也用心，给好评",
  "等了一个小时才上菜，还上错了",
  "地铁三号线周六起延长运营时间",
  "东西不错，就是有点贵",
  "客服态度恶劣，问题拖了半个月",
  "新版说明书共十二页",
  "孩子特别喜欢，已经第二次买了",
  "说不上好，也说不上坏",
];

const state = {
  /** @type {{ file: ReadFile, bytes: Uint8Array, options: ReadOptions } | null} the chosen file */
  chosen: null,
  /** @type {string | null} the name of a file that is being read */
  reading: null,
  /** @type {(() => string) | null} the sentence for a problem, in the current language */
  problem: null,
  /** Whether a run keeps the form from starting another. */
  busy: false,
};
/** @type {() => void} is called when what would be analysed has changed */
let onChange = () => {};

const pasted = () => byId("bulk-lines", HTMLTextAreaElement);

/** @returns {FileRow[]} */
const pastedRows = () =>
  pasted()
    .value.split(/\r\n|\n|\r/)
    .map((line, index) => ({ number: index + 1, cells: [line] }))
    .filter(({ cells }) => cells[0].trim());

/**
 * Return a row's text, or why it has none.
 *
 * @type {(row: FileRow, column: number) => RowProblem | undefined}
 */
const problemOf = (row, column) =>
  row.problem ?? (row.others?.includes(column) ? { kind: "noText" } : undefined);

/**
 * Return the rows of the chosen file, or the pasted lines.
 *
 * @returns {Table}
 */
export function chosenTable() {
  if (!state.chosen) return { name: null, stem: "texts", names: ["text"], rows: pastedRows(), column: 0 };
  const { name, stem, names, rows, column } = state.chosen.file;
  const checked = rows.map((row) => ({ ...row, problem: problemOf(row, column) }));
  return { name, stem, names, rows: checked, column };
}

/**
 * Show the sentence for a problem, or none.
 *
 * @param {(() => string) | null} sentence
 */
export function showProblem(sentence) {
  state.problem = sentence;
  drawForm();
}

/** @param {boolean} busy */
export function setBusy(busy) {
  state.busy = busy;
  drawForm();
}

/**
 * Return the sentence for an error of a library or a file that could not be read.
 *
 * @param {unknown} error
 * @returns {Promise<() => string>}
 */
export async function sentenceFor(error) {
  if (error instanceof Unreadable) return () => t("unreadable")[error.why];
  return (await isReachable()) ? () => t("problem").library() : () => problemText({ status: 0 });
}

/**
 * Read a file, or read it again as the visitor says.
 *
 * @type {(name: string, getBytes: () => Promise<Uint8Array>, options: ReadOptions) => Promise<void>}
 */
async function read(name, getBytes, options) {
  Object.assign(state, { chosen: null, problem: null, reading: name });
  onChange();
  drawForm();
  /** @type {typeof state.chosen} */
  let chosen = null;
  /** @type {typeof state.problem} */
  let problem = null;
  try {
    const bytes = await getBytes();
    const file = await readFile(name, bytes, options);
    if (file) chosen = { file, bytes, options };
    else problem = () => t("unreadable").empty;
  } catch (error) {
    problem = await sentenceFor(error);
  }
  if (state.reading !== name) return; // another has been chosen meanwhile
  Object.assign(state, { chosen, problem, reading: null });
  drawForm();
}

/** @param {File} picked */
async function choose(picked) {
  await read(picked.name, () => bytesOf(picked), {});
  // The element that had the focus is hidden now.
  byId("bulk-column")?.focus();
}

/** @type {(change: ReadOptions, focus: string) => Promise<void>} */
async function reread(change, focus) {
  if (!state.chosen) return;
  const { file, bytes, options } = state.chosen;
  const before = state.chosen;
  await read(file.name, async () => bytes, { ...options, ...change });
  // What cannot be read so stays as it was, with the reason.
  state.chosen ??= before;
  drawForm();
  byId(focus)?.focus();
}

function removeFile() {
  Object.assign(state, { chosen: null, problem: null });
  onChange();
  drawForm();
  pasted().focus();
}

/** @param {number} column */
function chooseColumn(column) {
  if (!state.chosen) return;
  Object.assign(state.chosen.file, { column, unsure: false });
  onChange();
  drawForm();
  byId("bulk-column").focus();
}

/** Draw the form in the current language. */
export function drawForm() {
  const { chosen, reading, problem, busy } = state;
  byId("bulk-problem").replaceChildren(...(problem ? [problemBox(problem())] : []));
  byId("bulk-paste").hidden = byId("bulk-drop").hidden = Boolean(chosen ?? reading);
  const content = [];
  if (reading) content.push(element("p", { class: "lead", role: "status" }, t("readingFile", reading)));
  else if (chosen) content.push(filePreview(chosen.file, { reread, chooseColumn, removeFile }));
  byId("bulk-chosen").replaceChildren(...content);
  const start = byId("bulk-start", HTMLButtonElement);
  start.textContent = t(busy ? "analysing" : "bulkStart");
  // Unlike a disabled one, it keeps the focus.
  start.setAttribute("aria-disabled", String(busy || Boolean(reading)));
  start.setAttribute("aria-busy", String(busy));
  start.classList.toggle("busy", busy);
  count();
}

function count() {
  const n = chosenTable().rows.filter((row) => !row.problem).length;
  byId("bulk-count").textContent = n ? t("bulkCount", wholeNumber(n)) : "";
}

function startDropping() {
  const drop = byId("bulk-drop");
  const panel = byId("bulk");
  // A file dropped elsewhere on the page would open in the browser; text is dropped as usual.
  /** @param {DragEvent} event */
  const holdsFile = (event) => event.dataTransfer?.types.includes("Files") ?? false;
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer || !holdsFile(event)) return;
    event.preventDefault();
    if (panel.hidden) event.dataTransfer.dropEffect = "none";
    else drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (!holdsFile(event)) return;
    event.preventDefault();
    const picked = event.dataTransfer?.files[0];
    if (picked && !panel.hidden) choose(picked);
  });
}

/**
 * Start the form.
 *
 * @type {(onSubmit: () => void, changed: () => void) => void}
 */
export function startForm(onSubmit, changed) {
  onChange = changed;
  byId("bulk-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!state.busy && !state.reading) onSubmit();
  });
  pasted().addEventListener("input", () => {
    onChange();
    showProblem(null);
  });
  byId("bulk-example").addEventListener("click", () => {
    pasted().value = EXAMPLE.join("\n");
    onChange();
    showProblem(null);
  });
  const input = byId("bulk-file", HTMLInputElement);
  input.addEventListener("change", () => {
    const picked = input.files?.[0];
    input.value = ""; // or the same file could not be chosen again
    if (picked) choose(picked);
  });
  startDropping();
}
