// A run over many texts: batches within the service's limits, several requests at a time.

import { ask, Problem } from "../api.js";
import { problemText, t } from "../texts.js";
import { LABELS } from "../views.js";

const CONCURRENT_REQUESTS = 2;
// Smaller than the service's own limits, so that the bar moves and no batch exceeds its deadline.
const BATCH_TEXTS = 64;
const BATCH_CHARACTERS = 20_000;
// Room for the frame around the items of a body.
const BODY_FRAME_BYTES = 64;
const MAX_TRIES = 120;

const utf8 = new TextEncoder();

/**
 * Group the indices of texts into batches.
 *
 * @param {string[]} texts
 * @param {Limits} limits
 */
function batches(texts, limits) {
  /** @type {number[][]} */
  const groups = [];
  /** @type {number[]} */
  let batch = [];
  let size = BODY_FRAME_BYTES;
  let characters = 0;
  texts.forEach((text, index) => {
    const itemSize = utf8.encode(JSON.stringify({ text })).length + 1;
    const full =
      batch.length >= Math.min(BATCH_TEXTS, limits.max_items) ||
      characters + text.length > BATCH_CHARACTERS ||
      size + itemSize > limits.max_body_bytes;
    if (batch.length && full) {
      groups.push(batch);
      batch = [];
      size = BODY_FRAME_BYTES;
      characters = 0;
    }
    batch.push(index);
    size += itemSize;
    characters += text.length;
  });
  if (batch.length) groups.push(batch);
  return groups;
}

export class Run {
  /** @param {Table} table */
  constructor({ names, rows, column }) {
    this.names = names;
    this.rows = rows;
    this.texts = rows.map((row) => row[column] ?? "");
    /** @type {(BatchResult | undefined)[]} by row, as far as they are there */
    this.results = new Array(this.texts.length);
    this.done = 0;
    this.running = true;
    /** @type {"bulkFinished" | "bulkCancelled" | "bulkStopped"} how it ended, once it has */
    this.ended = "bulkFinished";
    /** @type {Problem | null} why it waits */
    this.waiting = null;
    /** @type {number | null} the maximum length of a text */
    this.limit = null;
    /** Whether the download escapes formulas. */
    this.escape = false;
    this.controller = new AbortController();
  }

  get cancelled() {
    return this.controller.signal.aborted;
  }

  /** Return the number of texts by label, and those with and without an answer. */
  counts() {
    /** @type {Record<Label, number>} */
    const byLabel = { positive: 0, neutral: 0, negative: 0 };
    for (const result of this.results) if (result?.label) byLabel[result.label] += 1;
    const answered = LABELS.reduce((sum, label) => sum + byLabel[label], 0);
    return { byLabel, answered, errors: this.done - answered };
  }

  /**
   * Return why a row has no label; empty if it has one.
   *
   * @param {number} row
   * @returns {string}
   */
  errorOf(row) {
    const result = this.results[row];
    if (!result) return t("notDone");
    return result.error ? problemText(result.error, this.limit) : "";
  }

  /**
   * Classify every text; rejects at the first problem that is not one text's own.
   *
   * @param {Limits} limits
   * @param {() => void} onProgress
   */
  async classify(limits, onProgress) {
    const queue = batches(this.texts, limits);
    const worker = async () => {
      let batch;
      while (!this.cancelled && (batch = queue.shift())) await this.#send(batch, queue, onProgress);
    };
    await Promise.all(Array.from({ length: CONCURRENT_REQUESTS }, worker));
  }

  /** @type {(batch: number[], queue: number[][], onProgress: () => void) => Promise<void>} */
  async #send(batch, queue, onProgress) {
    const items = batch.map((index) => ({ text: this.texts[index] }));
    /** @param {Problem | null} waiting */
    const onWait = (waiting) => {
      this.waiting = waiting;
      onProgress();
    };
    const options = { signal: this.controller.signal, onWait, tries: MAX_TRIES };
    /** @type {BatchResult[]} */
    let results;
    try {
      ({ results } = await ask("v1/predict/batch", { items }, options));
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
    batch.forEach((row, index) => {
      this.results[row] = results[index];
      this.done += 1;
    });
    onProgress();
  }
}
