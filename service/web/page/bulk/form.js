// The form: lines or a file, which column holds the texts, and what is wrong with them.

import { byId, element } from "../dom.js";
import { lines, readRows } from "../rows.js";
import { t, wholeNumber } from "../texts.js";
import { problemBox } from "../views.js";

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
  /** @type {ReadFile | null} the chosen file */
  file: null,
  /** @type {(() => string) | null} the sentence for a problem, in the current language */
  problem: null,
  /** Whether a run keeps the form from starting another. */
  disabled: false,
};

const pasted = () => byId("bulk-lines", HTMLTextAreaElement);

/**
 * Return a file's rows under its columns' names.
 *
 * @param {ReadFile} file
 * @returns {Table}
 */
function tableOf(file) {
  const width = file.rows.reduce((most, row) => Math.max(most, row.length), 0);
  const named = file.headed ? file.rows[0] : [];
  const names = Array.from({ length: width }, (_, index) => named[index] ?? t("columnName", index + 1));
  return { names, rows: file.headed ? file.rows.slice(1) : file.rows, column: file.column };
}

/**
 * Return the chosen file's rows, or the pasted lines.
 *
 * @returns {Table}
 */
export function chosenTable() {
  if (state.file) return tableOf(state.file);
  return { names: ["text"], rows: lines(pasted().value).map((line) => [line]), column: 0 };
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

/** @param {boolean} disabled */
export function setDisabled(disabled) {
  state.disabled = disabled;
  drawForm();
}

/** @param {File} picked */
async function choose(picked) {
  state.file = null;
  try {
    state.file = await readRows(picked);
    state.problem = state.file ? null : () => t("emptyFile");
  } catch (error) {
    // A decoder throws these; anything else is a library that did not load.
    const unreadable = error instanceof TypeError || error instanceof DOMException;
    state.problem = unreadable ? () => t("unreadableFile") : () => t("problem").library();
  }
  drawForm();
  // The element that had the focus is hidden now.
  byId("bulk-column")?.focus();
}

/** Draw the form in the current language. */
export function drawForm() {
  const { file, problem, disabled } = state;
  byId("bulk-problem").replaceChildren(...(problem ? [problemBox(problem())] : []));
  byId("bulk-paste").hidden = Boolean(file);
  byId("bulk-drop").hidden = Boolean(file);
  byId("bulk-chosen").replaceChildren(...(file ? [fileBox(file)] : []));
  const start = byId("bulk-start", HTMLButtonElement);
  start.textContent = t("bulkStart");
  start.disabled = disabled;
  count();
}

function count() {
  const n = chosenTable().rows.length;
  byId("bulk-count").textContent = n ? t("bulkCount", wholeNumber(n)) : "";
}

/** @param {ReadFile} file */
function fileBox(file) {
  const { names, rows, column } = tableOf(file);
  const select = element("select", { id: "bulk-column" });
  names.forEach((name, index) => {
    const option = element("option", { value: index }, name);
    option.selected = index === column;
    select.append(option);
  });
  select.addEventListener("change", () => {
    file.column = Number(select.value);
    drawForm();
    byId("bulk-column").focus();
  });
  const header = element("input", { type: "checkbox", id: "bulk-header" });
  header.checked = file.headed;
  header.addEventListener("change", () => {
    file.headed = header.checked;
    drawForm();
    byId("bulk-header").focus();
  });
  const remove = element("button", { type: "button", class: "quiet" }, t("removeFile"));
  remove.addEventListener("click", () => {
    state.file = null;
    drawForm();
    pasted().focus();
  });
  const preview = element("ul", { class: "preview", lang: "zh" });
  for (const row of rows.slice(0, 3)) preview.append(element("li", {}, row[column] ?? ""));
  return element(
    "div",
    { class: "chosen" },
    element(
      "p",
      { class: "lead" },
      t("chosenFile", file.name, wholeNumber(rows.length)),
      element("span", { class: "hint" }, ` · ${t("decodedAs", file.encoding)}`),
    ),
    element(
      "div",
      { class: "options" },
      element("label", {}, t("textColumn"), select),
      element("label", { class: "check" }, header, t("headerRow")),
      remove,
    ),
    preview,
  );
}

/**
 * Start the form.
 *
 * @param {() => void} onSubmit
 */
export function startForm(onSubmit) {
  const drop = byId("bulk-drop");
  const panel = byId("bulk");
  byId("bulk-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!state.disabled) onSubmit();
  });
  pasted().addEventListener("input", count);
  byId("bulk-example").addEventListener("click", () => {
    pasted().value = EXAMPLE.join("\n");
    count();
  });
  const input = byId("bulk-file", HTMLInputElement);
  input.addEventListener("change", () => {
    const picked = input.files?.[0];
    input.value = ""; // or the same file could not be chosen again
    if (picked) choose(picked);
  });
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
