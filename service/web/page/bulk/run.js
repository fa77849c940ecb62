// A run over many texts: short streams, one after the other, so that the service is asked for no
// more than it can take and other clients get their turns.

import { askStream } from "../api.js";
import { en } from "../en.js";
import { problemText, t } from "../texts.js";
import { LABELS } from "../views.js";

// A browser sends a whole body before it reads: the answers must fit into what lies between.
const STREAM_TEXTS = 128;
const STREAM_CHARACTERS = 20_000;
const MAX_TRIES = 120;
// Before that, a rate says little.
const RATE_AFTER_MS = 1500;

export class Run {
  /** @param {Table} table */
  constructor({ name, stem, names, rows, column }) {
    /** The name of the file, or null for pasted lines. */
    this.name = name;
    this.stem = stem;
    this.names = names;
    this.rows = rows;
    this.column = column;
    this.texts = rows.map((row) => row.cells[column] ?? "");
    /** @type {(BatchResult | undefined)[]} by row, as far as they are there */
    this.results = new Array(rows.length);
    this.waitingRows = [...rows.keys()].filter((row) => !rows[row].problem);
    this.total = this.waitingRows.length;
    this.done = 0;
    this.running = true;
    /** @type {"bulkFinished" | "bulkCancelled" | "bulkStopped"} how it ended, once it has */
    this.ended = "bulkFinished";
    /** @type {{ status: number, wait: number } | null} why it waits */
    this.waiting = null;
    /** @type {number | null} the maximum length of a text */
    this.limit = null;
    /** Whether the download escapes formulas. */
    this.escape = false;
    this.controller = new AbortController();
    this.startedAt = performance.now();
    this.progressAt = this.startedAt;
  }

  get cancelled() {
    return this.controller.signal.aborted;
  }

  /** Return the number of texts by label, of uncertain ones, and of rows with and without an answer. */
  counts() {
    /** @type {Record<Label, number>} */
    const byLabel = { positive: 0, neutral: 0, negative: 0 };
    /** @type {Record<Label, number>} */
    const uncertainBy = { positive: 0, neutral: 0, negative: 0 };
    for (const result of this.results) {
      if (!result?.label) continue;
      byLabel[result.label] += 1;
      if (result.uncertain) uncertainBy[result.label] += 1;
    }
    /** @param {Record<Label, number>} numbers */
    const sum = (numbers) => LABELS.reduce((total, label) => total + numbers[label], 0);
    const answered = sum(byLabel);
    return { byLabel, uncertainBy, uncertain: sum(uncertainBy), answered, errors: this.rows.length - answered };
  }

  /** Return the texts per second and the seconds that are left; null while that cannot be told. */
  speed() {
    const elapsed = performance.now() - this.startedAt;
    if (!this.done || elapsed < RATE_AFTER_MS) return null;
    const rate = (this.done * 1000) / elapsed;
    return { rate, left: (this.total - this.done) / rate };
  }

  /**
   * Return why a row has no label, in the page's language; empty if it has one.
   *
   * @param {number} row
   * @returns {string}
   */
  errorOf(row) {
    const { problem } = this.rows[row];
    if (problem) return t("rowProblem")[problem.kind](problem);
    const result = this.results[row];
    if (!result) return t("notDone");
    if (result.error && !this.texts[row].trim()) return t("rowBlank");
    return result.error ? problemText(result.error, this.limit) : "";
  }

  /**
   * Return the same for a file, whose words are the same in every language.
   *
   * @param {number} row
   * @returns {string}
   */
  writtenErrorOf(row) {
    const { problem } = this.rows[row];
    if (problem) return en.rowProblem[problem.kind](problem);
    const result = this.results[row];
    if (!result) return en.notDone;
    return result.error?.detail ?? "";
  }

  /**
   * Classify every text; rejects at the first problem that is not one text's own.
   *
   * @param {() => void} onProgress
   */
  async classify(onProgress) {
    /** @param {{ status: number, wait: number } | null} waiting */
    const onWait = (waiting) => {
      this.waiting = waiting;
      onProgress();
    };
    const { signal } = this.controller;
    while (this.waitingRows.length && !this.cancelled) {
      const rows = this.#nextRows();
      let answered = 0;
      /** @param {BatchResult} result */
      const onResult = (result) => {
        this.results[rows[answered]] = result;
        answered += 1;
        this.done += 1;
        this.progressAt = performance.now();
        onProgress();
      };
      const texts = rows.map((row) => this.texts[row]);
      const broken = await askStream(texts, onResult, { signal, onWait, tries: MAX_TRIES });
      this.waitingRows.unshift(...rows.slice(answered));
      if (broken && !answered) throw broken;
    }
  }

  /** Take the rows of the next stream. */
  #nextRows() {
    let characters = 0;
    let number = 0;
    for (const row of this.waitingRows) {
      characters += this.texts[row].length;
      if (number && (number === STREAM_TEXTS || characters > STREAM_CHARACTERS)) break;
      number += 1;
    }
    return this.waitingRows.splice(0, number);
  }
}
