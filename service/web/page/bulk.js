// Many texts: lines or a CSV file, sent in batches, then a chart, a table and a file.

import { ask, model, Problem } from "./api.js";
import { announce, byId, element, fill, library } from "./dom.js";
import { lines, readRows } from "./rows.js";
import { onLanguage, percent, problemText, t, waitingText, wholeNumber } from "./texts.js";
import { card, LABELS, problemBox, SHAPES, shape } from "./views.js";

const SHOWN_ROWS = 200;
const REQUESTS_AT_ONCE = 2;
// Smaller than the service's own limits, so that the bar moves and no batch meets its deadline.
const BATCH_TEXTS = 64;
const BATCH_CHARACTERS = 20_000;
// Room for the frame around the items of a body.
const BODY_FRAME_BYTES = 64;
const BUSY_TRIES = 120;
const RESULT_COLUMNS = ["label", "confidence", ...LABELS, "error"];
// The beginning of a cell that a spreadsheet may run.
const FORMULA = /^[=+\-@\t\r]/;
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

// A chosen file: its name, encoding, rows as they came, whether the first names the columns, and
// which column holds the texts.
let file = null;
// A run: its table of names and rows, the results in their order, and how it stands.
let work = null;
let problem = null;
let chart = null;

const bytes = new TextEncoder();

function fromFile() {
  const width = file.rows.reduce((most, row) => Math.max(most, row.length), 0);
  const named = file.headed ? file.rows[0] : [];
  const names = Array.from({ length: width }, (_, at) => named[at] ?? t("columnName", at + 1));
  return { names, rows: file.headed ? file.rows.slice(1) : file.rows, column: file.column };
}

function fromLines() {
  const rows = lines(byId("bulk-lines").value).map((line) => [line]);
  return { names: ["text"], rows, column: 0 };
}

const chosen = () => (file ? fromFile() : fromLines());

async function choose(picked) {
  try {
    file = await readRows(picked);
    problem = null;
    if (!file) fail("emptyFile");
  } catch (error) {
    file = null;
    // A decoder throws these; anything else is a library that did not come.
    const unreadable = error instanceof TypeError || error instanceof DOMException;
    fail(unreadable ? "unreadableFile" : "library");
  }
  drawForm();
  // What had the focus is hidden now.
  byId("bulk-column")?.focus();
}

function fail(key) {
  problem = () => (key === "library" ? t("problem").library() : t(key));
}

function drawForm() {
  byId("bulk-problem").replaceChildren(...(problem ? [problemBox(problem())] : []));
  byId("bulk-paste").hidden = Boolean(file);
  byId("bulk-drop").hidden = Boolean(file);
  byId("bulk-chosen").replaceChildren(...(file ? [fileBox()] : []));
  byId("bulk-start").textContent = t("bulkStart");
  byId("bulk-start").disabled = Boolean(work?.running);
  count();
}

function count() {
  const n = chosen().rows.length;
  byId("bulk-count").textContent = n ? t("bulkCount", wholeNumber(n)) : "";
}

function fileBox() {
  const { names, rows, column } = fromFile();
  const select = element("select", { id: "bulk-column" });
  names.forEach((name, at) => {
    const option = element("option", { value: at }, name);
    option.selected = at === column;
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
    file = null;
    drawForm();
    byId("bulk-lines").focus();
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

function batches(texts, limits) {
  const found = [];
  let batch = [];
  let size = BODY_FRAME_BYTES;
  let characters = 0;
  texts.forEach((text, index) => {
    const itemSize = bytes.encode(JSON.stringify({ text })).length + 1;
    const full =
      batch.length >= Math.min(BATCH_TEXTS, limits.max_items) ||
      characters + text.length > BATCH_CHARACTERS ||
      size + itemSize > limits.max_body_bytes;
    if (batch.length && full) {
      found.push(batch);
      batch = [];
      size = BODY_FRAME_BYTES;
      characters = 0;
    }
    batch.push(index);
    size += itemSize;
    characters += text.length;
  });
  if (batch.length) found.push(batch);
  return found;
}

async function send(batch, queue, told) {
  const items = batch.map((index) => ({ text: told.texts[index] }));
  const { signal } = told.controller;
  const onWait = (waiting) => {
    told.waiting = waiting;
    drawProgress();
  };
  let results;
  try {
    ({ results } = await ask("v1/predict/batch", { items }, { signal, onWait, tries: BUSY_TRIES }));
  } catch (error) {
    const perhapsTooMuch = error instanceof Problem && [413, 504].includes(error.status);
    if (!perhapsTooMuch) throw error;
    if (batch.length > 1) {
      const half = Math.ceil(batch.length / 2);
      queue.unshift(batch.slice(0, half), batch.slice(half));
      return;
    }
    results = [{ error }];
  }
  batch.forEach((index, at) => {
    told.results[index] = results[at];
    told.done += 1;
  });
  drawProgress();
}

async function run() {
  const { names, rows, column } = chosen();
  if (!rows.length) {
    fail("nothingToDo");
    drawForm();
    return;
  }
  problem = null;
  const texts = rows.map((row) => row[column] ?? "");
  const told = (work = {
    names,
    rows,
    column,
    texts,
    results: new Array(texts.length),
    done: 0,
    running: true,
    ended: null,
    waiting: null,
    limit: null,
    escape: false,
    controller: new AbortController(),
  });
  drawForm();
  byId("bulk-result").replaceChildren();
  drawProgress();
  try {
    const [{ limits }] = await Promise.all([model(), library("Papa"), library("Chart")]);
    told.limit = limits.max_text_characters;
    const queue = batches(texts, limits);
    const worker = async () => {
      while (queue.length && !told.controller.signal.aborted) await send(queue.shift(), queue, told);
    };
    await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, worker));
    told.ended = told.controller.signal.aborted ? "bulkCancelled" : "bulkFinished";
  } catch (error) {
    const cancelled = told.controller.signal.aborted;
    told.ended = cancelled ? "bulkCancelled" : "bulkStopped";
    told.controller.abort();
    if (error instanceof Problem) problem = () => problemText(error, told.limit);
    else if (!cancelled) problem = () => t("problem").library();
  }
  told.running = false;
  drawForm();
  drawProgress();
  drawResult();
  announce(endWords());
}

const endWords = () => t(work.ended, wholeNumber(work.done), wholeNumber(work.texts.length));

function drawProgress() {
  const box = byId("bulk-progress");
  box.hidden = !work;
  if (!work) return;
  const all = work.texts.length;
  const bar = byId("bulk-bar");
  bar.max = all;
  bar.value = work.done;
  const words = t("bulkDone", wholeNumber(work.done), wholeNumber(all));
  byId("bulk-done").textContent = work.running ? words : endWords();
  byId("bulk-cancel").hidden = !work.running;
  const waits = work.running && work.waiting && waitingText(work.waiting);
  fill(byId("bulk-waiting"), [waits], () => [waits]);
  // Every tenth is enough to hear.
  const tenth = Math.floor((work.done / all) * 10);
  if (work.running && tenth !== work.tenth) announce(words);
  work.tenth = tenth;
}

function errorOf(result) {
  if (!result) return t("notDone");
  return result.error ? problemText(result.error, work.limit) : "";
}

function counts() {
  const found = Object.fromEntries(LABELS.map((label) => [label, 0]));
  for (const result of work.results) if (result?.label) found[result.label] += 1;
  const answered = LABELS.reduce((sum, label) => sum + found[label], 0);
  return { found, answered, errors: work.done - answered };
}

function drawResult() {
  if (!work || work.running) return;
  const parts = work.done ? [labelsCard(), resultsCard()] : [];
  byId("bulk-result").replaceChildren(...parts);
  if (work.done) drawChart();
}

function labelsCard() {
  const { found, answered, errors } = counts();
  const body = element("tbody");
  for (const label of LABELS) {
    body.append(
      element(
        "tr",
        { "data-label": label },
        element("th", { scope: "row" }, shape(label), t(label)),
        element("td", {}, wholeNumber(found[label])),
        element("td", {}, answered ? percent(found[label] / answered) : "–"),
      ),
    );
  }
  if (errors) {
    body.append(
      element(
        "tr",
        {},
        element("th", { scope: "row" }, t("errors")),
        element("td", {}, wholeNumber(errors)),
        element("td", {}, ""),
      ),
    );
  }
  const head = ["label", "number", "share"].map((name) => element("th", { scope: "col" }, t(name)));
  return card(
    t("labels"),
    element(
      "div",
      { class: "pair" },
      element("div", { class: "chart" }, element("canvas", { id: "bulk-chart", role: "img" })),
      element(
        "table",
        { class: "plain" },
        element("thead", {}, element("tr", {}, ...head)),
        body,
      ),
    ),
  );
}

async function drawChart() {
  const canvas = byId("bulk-chart");
  if (!canvas) return;
  const { found, answered } = counts();
  const parts = LABELS.map((label) =>
    t("chartPart", t(label), wholeNumber(found[label]), percent(answered && found[label] / answered)),
  );
  canvas.setAttribute("aria-label", t("chartSummary", parts.join(t("listComma"))));
  const Chart = await library("Chart");
  const style = getComputedStyle(document.documentElement);
  // A canvas knows no custom properties: the colours are read from elements that have them.
  const colours = LABELS.map((label) => {
    const row = document.querySelector(`#bulk-result tr[data-label=${label}] .shape`);
    return getComputedStyle(row).color;
  });
  const ink = getComputedStyle(document.body).color;
  chart?.destroy();
  chart = new Chart(canvas, {
    type: "bar",
    data: {
      labels: LABELS.map((label) => `${SHAPES[label]} ${t(label)}`),
      datasets: [
        {
          data: LABELS.map((label) => found[label]),
          backgroundColor: colours,
          borderRadius: 4,
          maxBarThickness: 34,
        },
      ],
    },
    options: {
      indexAxis: "y",
      animation: false,
      maintainAspectRatio: false,
      color: ink,
      font: { family: style.fontFamily },
      plugins: { legend: { display: false } },
      scales: {
        x: { ticks: { color: ink, precision: 0 }, grid: { display: false }, border: { display: false } },
        y: { ticks: { color: ink, font: { size: 14 } }, grid: { display: false }, border: { display: false } },
      },
    },
  });
}

function resultsCard() {
  const all = work.texts.length;
  const body = element("tbody");
  work.texts.slice(0, SHOWN_ROWS).forEach((text, index) => {
    const result = work.results[index];
    const answer = result?.label
      ? [
          element("td", { "data-label": result.label, class: "nowrap" }, shape(result.label), t(result.label)),
          element("td", {}, percent(result.confidence)),
        ]
      : [element("td", { colspan: "2", class: "hint" }, errorOf(result))];
    body.append(
      element(
        "tr",
        {},
        element("td", { class: "hint" }, wholeNumber(index + 1)),
        element("td", { class: "long", lang: "zh" }, text),
        ...answer,
      ),
    );
  });
  const head = ["row", "text", "label", "confidence"].map((name) =>
    element("th", { scope: "col" }, t(name)),
  );
  const table = element(
    "table",
    { class: "plain rows" },
    element("thead", {}, element("tr", {}, ...head)),
    body,
  );
  const download = element("button", { type: "button", class: "primary", id: "bulk-download" }, t("download"));
  download.addEventListener("click", save);
  const made = card(t("results"));
  made.append(element("div", { class: "under" }, element("span", { class: "hint" }, endWords()), download));
  const risky = [work.names, ...work.rows].filter((row) => row.some((cell) => FORMULA.test(cell))).length;
  if (risky) {
    const escape = element("input", { type: "checkbox", id: "bulk-escape" });
    escape.checked = work.escape;
    escape.addEventListener("change", () => (work.escape = escape.checked));
    made.append(
      element("p", { class: "hint" }, t("formulas", risky)),
      element("label", { class: "check" }, escape, t("escapeFormulas")),
    );
  }
  if (all > SHOWN_ROWS) {
    made.append(element("p", { class: "hint" }, t("onlyFirst", wholeNumber(SHOWN_ROWS), wholeNumber(all))));
  }
  made.append(
    element("div", { class: "scroll tall", tabindex: "0", role: "group", "aria-label": t("results") }, table),
  );
  return made;
}

function cells(result) {
  if (!result?.label) return ["", "", "", "", "", errorOf(result)];
  const numbers = [result.confidence, ...LABELS.map((label) => result.probabilities[label])];
  return [result.label, ...numbers.map(String), ""];
}

function untaken(name, names) {
  return names.includes(name) ? untaken(`predicted_${name}`, names) : name;
}

// All columns as they came, then ours; a name that is taken already gets a prefix.
async function save() {
  const Papa = await library("Papa");
  const { names, rows, results } = work;
  const ours = RESULT_COLUMNS.map((name) => untaken(name, names));
  const table = rows.map((row, index) => [
    ...names.map((_, at) => row[at] ?? ""),
    ...cells(results[index]),
  ]);
  const escapeFormulae = work.escape && FORMULA;
  const text = Papa.unparse([[...names, ...ours], ...table], { escapeFormulae });
  // The mark at the beginning tells Excel that this is UTF-8.
  const blob = new Blob(["\ufeff", text, "\r\n"], { type: "text/csv" });
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: "sentiment.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export function startBulk() {
  const drop = byId("bulk-drop");
  const panel = byId("bulk");
  byId("bulk-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!work?.running) run();
  });
  byId("bulk-lines").addEventListener("input", count);
  byId("bulk-example").addEventListener("click", () => {
    byId("bulk-lines").value = EXAMPLE.join("\n");
    count();
  });
  byId("bulk-file").addEventListener("change", (event) => {
    const [picked] = event.target.files;
    event.target.value = ""; // or the same file could not be chosen again
    if (picked) choose(picked);
  });
  byId("bulk-cancel").addEventListener("click", () => work?.controller.abort());
  // A file that is dropped beside its place would open in the browser; text is dropped as ever.
  const holdsFile = (event) => event.dataTransfer.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    if (panel.hidden) event.dataTransfer.dropEffect = "none";
    else drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (!holdsFile(event)) return;
    event.preventDefault();
    const [picked] = event.dataTransfer.files;
    if (picked && !panel.hidden) choose(picked);
  });
  document.addEventListener("theme", drawChart);
  onLanguage(() => {
    drawForm();
    drawProgress();
    drawResult();
  });
}
