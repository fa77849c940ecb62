// The labels by the values of a column: over time where it holds dates, by category otherwise.

import { isNumber } from "../reader/layout.js";
import { LABELS } from "../views.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {{ name: string, counts: Record<Label, number> }} Group */
/** @typedef {{ kind: "date" | "category", column: number }} GroupColumn */

const DATE = /^(\d{4})[-/.年](\d{1,2})(?:[-/.月](\d{1,2})日?)?(?:[ T]\S*)?月?$/;
const COMPACT_DATE = /^(\d{4})(\d{2})(\d{2})$/;
const DAY_MS = 86_400_000;
// The share of cells that makes a column one of dates.
const MOSTLY = 0.8;
const MOST_PERIODS = 45;
const MOST_CATEGORIES = 30;
const SHOWN_CATEGORIES = 12;
const SAMPLE_ROWS = 2000;
const MAX_NAME = 40;

/**
 * Return the day of a date in milliseconds, or null.
 *
 * @param {string} cell
 */
function dayOf(cell) {
  const found = DATE.exec(cell.trim()) ?? COMPACT_DATE.exec(cell.trim());
  if (!found) return null;
  const [year, month, day] = [Number(found[1]), Number(found[2]), Number(found[3] ?? 1)];
  const time = Date.UTC(year, month - 1, day);
  const isDay = new Date(time).getUTCMonth() === month - 1 && day > 0 && year >= 1900 && year <= 2100;
  return isDay ? time : null;
}

/**
 * Return the columns by which labels can be drawn, those of dates first.
 *
 * @param {Run} run
 * @returns {GroupColumn[]}
 */
export function groupColumns(run) {
  /** @type {GroupColumn[]} */
  const found = [];
  run.names.forEach((_, column) => {
    if (column === run.column) return;
    const cells = run.rows.slice(0, SAMPLE_ROWS).map((row) => (row.cells[column] ?? "").trim()).filter(Boolean);
    if (cells.length < 2) return;
    const distinct = new Set(cells);
    const dates = cells.filter((cell) => dayOf(cell) !== null).length;
    if (dates >= cells.length * MOSTLY && distinct.size > 1) found.push({ kind: "date", column });
    else if (isCategory(distinct, cells.length)) found.push({ kind: "category", column });
  });
  return found.sort((a, b) => Number(b.kind === "date") - Number(a.kind === "date"));
}

/** @type {(distinct: Set<string>, number: number) => boolean} */
function isCategory(distinct, number) {
  const isRepeated = distinct.size > 1 && distinct.size <= Math.min(MOST_CATEGORIES, number / 2);
  return isRepeated && [...distinct].every((cell) => cell.length <= MAX_NAME);
}

/** @returns {Record<Label, number>} */
const none = () => ({ positive: 0, neutral: 0, negative: 0 });

/**
 * Count the labels by the values of a column; `rest` names the values that are shown together.
 *
 * @type {(run: Run, by: GroupColumn, rest: string) => Group[]}
 */
export function groupsOf(run, { kind, column }, rest) {
  return kind === "date" ? periods(run, column) : categories(run, column, rest);
}

/** @type {(run: Run, column: number, rest: string) => Group[]} */
function categories(run, column, rest) {
  /** @type {Map<string, Record<Label, number>>} */
  const groups = new Map();
  run.results.forEach((result, row) => {
    const name = (run.rows[row].cells[column] ?? "").trim();
    if (!result?.label || !name) return;
    const counts = groups.get(name) ?? none();
    counts[result.label] += 1;
    groups.set(name, counts);
  });
  const all = [...groups].map(([name, counts]) => ({ name, counts }));
  /** @param {Group} group */
  const size = ({ counts }) => LABELS.reduce((sum, label) => sum + counts[label], 0);
  const ordered = all.every(({ name }) => isNumber(name))
    ? all.sort((a, b) => parseFloat(a.name) - parseFloat(b.name))
    : all.sort((a, b) => size(b) - size(a));
  if (ordered.length <= SHOWN_CATEGORIES) return ordered;
  const others = none();
  for (const { counts } of ordered.slice(SHOWN_CATEGORIES)) {
    for (const label of LABELS) others[label] += counts[label];
  }
  return [...ordered.slice(0, SHOWN_CATEGORIES), { name: rest, counts: others }];
}

/**
 * The lengths of periods: the start of the one that holds a day, and the start of the next.
 *
 * @type {{ start: (day: number) => number, name: (start: number) => string }[]}
 */
const PERIODS = [
  { start: (day) => day, name: (start) => new Date(start).toISOString().slice(0, 10) },
  {
    // From Monday on.
    start: (day) => day - ((new Date(day).getUTCDay() + 6) % 7) * DAY_MS,
    name: (start) => new Date(start).toISOString().slice(0, 10),
  },
  {
    start: (day) => Date.UTC(new Date(day).getUTCFullYear(), new Date(day).getUTCMonth()),
    name: (start) => new Date(start).toISOString().slice(0, 7),
  },
  {
    start: (day) => Date.UTC(new Date(day).getUTCFullYear(), 0),
    name: (start) => new Date(start).toISOString().slice(0, 4),
  },
];

/** @type {(run: Run, column: number) => Group[]} the shortest periods that are not too many, without gaps */
function periods(run, column) {
  const days = run.rows.map((row) => dayOf(row.cells[column] ?? ""));
  const known = days.filter((day) => day !== null);
  const first = known.reduce((least, day) => Math.min(least, day), Infinity);
  const last = known.reduce((most, day) => Math.max(most, day), -Infinity);
  /** @param {(typeof PERIODS)[number]} period */
  const starts = ({ start }) => {
    const found = [];
    // Every period holds its own start; days step over none.
    for (let day = start(first); day <= last; day += DAY_MS) {
      if (start(day) === day) found.push(day);
      if (found.length > MOST_PERIODS) break;
    }
    return found;
  };
  const period = PERIODS.find((each) => starts(each).length <= MOST_PERIODS) ?? PERIODS[3];
  /** @type {Map<number, Group>} */
  const groups = new Map(starts(period).map((start) => [start, { name: period.name(start), counts: none() }]));
  run.results.forEach((result, row) => {
    const day = days[row];
    const group = day === null ? undefined : groups.get(period.start(day));
    if (group && result?.label) group.counts[result.label] += 1;
  });
  return [...groups.values()];
}
