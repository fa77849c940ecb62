// How rows are laid out: the delimiter, whether there is a header, which column holds the texts. The
// same rules in Python: model/bulk/layout.py, which refuses what cannot be told; here it is a guess
// that the page asks the visitor to check.

export const DELIMITERS = [",", "\t", ";", "|"];

const DEFAULT = "text";
const TEXT_NAMES = ["评论", "内容", "文本", "评价", "留言", "反馈", "弹幕", "正文"];
const ENGLISH_TEXT_NAMES = ["text", "review", "comment", "content"];
const ALL_TEXT_NAMES = [...TEXT_NAMES, ...ENGLISH_TEXT_NAMES];
// What else the names of Chinese columns are made of, longer words first.
const NAME_WORDS = [
  ...TEXT_NAMES,
  ...["编号", "序号", "标签", "类别", "分类", "类型", "时间", "日期", "用户", "顾客", "客户"],
  ...["买家", "名称", "姓名", "昵称", "名", "评分", "分数", "星级", "等级", "情感", "极性", "倾向"],
  ...["点赞", "数量", "次数", "数", "商品", "产品", "店铺", "品牌", "城市", "地区", "链接", "备注"],
  ...["来源", "原文", "文字", "文章", "短评", "描述", "回答", "回复", "标题", "发布", "微博", "商家"],
  ...["订单", "的", "号", "者", "人", "句子", "语句", "意见", "建议"],
];
const NAME_WORD = new RegExp(`${NAME_WORDS.join("|")}|[\\w\\s()（）[\\].:：/#-]`, "g");
// Names are compared in simplified characters.
const TRADITIONAL = "評論內價饋彈編號標籤類別時間戶顧買稱評數級點贊商產鋪區鏈備註來題發佈訂單語";
const SIMPLIFIED = "评论内价馈弹编号标签类别时间户顾买称评数级点赞商产铺区链备注来题发布订单语";
const TRADITIONAL_SIGN = new RegExp(`[${TRADITIONAL}]`, "g");
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_ .()/#-]*$/;
const NAMES_OF_OTHERS = new Set(
  ("id label no index date time name user title score rating stars star sentiment polarity " +
    "class category url source n").split(" "),
);
const NUMBER = /^[\p{Nd}\s.,:/+%￥¥$€年月日时分秒点TZ-]+$/u;
const DIGIT = /\p{Nd}/u;
const LINK = /^(?:https?:\/\/|www\.)\S+$/;
const HAN = /[\u3400-\u9fff\uf900-\ufaff\u{20000}-\u{3ffff}]/u;
const ALL_HAN = new RegExp(HAN, "gu");
const ALL_LETTERS = /\p{L}/gu;
const SENTENCE_SIGN = /[，。！？；、,!?;…～~]/;
const MAX_NAME = 40;
// From so many Chinese characters on, a first cell is a text and no name.
const LONG = 15;
// Means of characters in cells: what a column needs to hold the texts without a name that says so,
// and how many times the next one's to be chosen before it.
const LEAST_LENGTH = 4;
const CLEARLY_LONGER = 2;
// Of the first rows, those that must have as many fields as the header.
const LEAST_ALIKE = 0.4;
const LEAST_ALIKE_WITHOUT_HEADER = 0.9;

/** @type {(text: string, pattern: RegExp) => number} */
const count = (text, pattern) => text.match(pattern)?.length ?? 0;

/** @param {number[]} values */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** @param {number[]} values */
function median(values) {
  const ordered = [...values].sort((a, b) => a - b);
  const middle = ordered.length >> 1;
  return ordered.length % 2 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2;
}

/** @param {string} cell */
export const isNumber = (cell) => NUMBER.test(cell) && DIGIT.test(cell);

/**
 * Return the delimiter that divides most rows into as many fields as the first row; the most likely
 * one if none does.
 *
 * @param {Map<string, string[][]>} rowsBy the first rows as each delimiter divides them, the most
 *   likely one first
 */
export function findDelimiter(rowsBy) {
  const [usual] = rowsBy.keys();
  /** @type {[string, number][]} */
  const shares = [];
  let undivided = false;
  for (const [delimiter, rows] of rowsBy) {
    if (!rows.length || rows[0].length < 2) continue;
    const share = mean(rows.map((row) => Number(row.length === rows[0].length)));
    if (mean(rows.map((row) => Number(row.length === 1))) >= share) undivided = true;
    else shares.push([delimiter, share]);
  }
  const most = Math.max(...shares.map(([, share]) => share));
  const best = shares.filter(([, share]) => share === most);
  if (best.length) return { delimiter: best[0][0], unsure: best.length > 1 };
  const isDividedBelow = [...rowsBy.values()].some((rows) => usualWidth(rows.slice(1)) > 1);
  return { delimiter: usual, unsure: undivided || isDividedBelow };
}

/**
 * Return the number of fields that at least half of some rows have; 0 if there is none.
 *
 * @param {string[][]} rows
 */
export function usualWidth(rows) {
  /** @type {Map<number, number>} */
  const numbers = new Map();
  for (const { length } of rows) numbers.set(length, (numbers.get(length) ?? 0) + 1);
  const [width, number] = [...numbers].sort(([, a], [, b]) => b - a)[0] ?? [0, 0];
  return number * 2 >= rows.length ? width : 0;
}

/**
 * Return whether the first row is a header, how many columns there are, and which holds the texts.
 *
 * @param {string[][]} rows the first rows
 * @param {boolean} [given] whether there is a header, where the visitor has said so
 */
export function findLayout(rows, given) {
  const { header, unsure: isHeaderGuess } = given === undefined ? hasHeader(rows) : { header: given, unsure: false };
  const width = (!header && usualWidth(rows)) || rows[0].length;
  /** @param {string[][]} some */
  const isAlike = (some) => some.filter((row) => row.length === width);
  const others = header ? rows.slice(1) : rows;
  const alike = isAlike(others);
  const least = header ? LEAST_ALIKE : LEAST_ALIKE_WITHOUT_HEADER;
  const names = Array.from({ length: width }, (_, index) => (header ? rows[0][index] : String(index + 1)));
  const { column, unsure } = textColumn(names, alike, header);
  return { header, width, column, unsure: isHeaderGuess || unsure || alike.length < others.length * least };
}

/**
 * Return the index of the column that holds the texts.
 *
 * @param {string[]} names of all columns
 * @param {string[][]} rows the first rows, without a header
 * @param {boolean} named whether the names are those of a file
 */
export function textColumn(names, rows, named = true) {
  const lengths = textLengths(names.length, rows);
  // One row is no sign that what divides it is a delimiter.
  const isOneRow = rows.length === 1 && !named && lengths.filter(Boolean).length > 1;
  const textual = isOneRow ? [] : [...names.keys()].filter((index) => lengths[index]);
  const ranks = names.map((name) => (named ? rank(name) : 0));
  // Where nothing but numbers, blank cells, or no rows are there, the name decides.
  const called = (textual.length ? textual : [...names.keys()]).filter((index) => ranks[index]);
  const highest = Math.max(...called.map((index) => ranks[index]));
  const best = longest(called.filter((index) => ranks[index] === highest), lengths);
  if (called.length) return best;
  if (!textual.length) return { column: 0, unsure: true };
  const { column, unsure } = longest(textual, lengths);
  return { column, unsure: unsure || (names.length > 1 && lengths[column] < LEAST_LENGTH) };
}

/** @param {string} name */
export const isNameOfTexts = (name) => rank(name) > 0;

/**
 * Return 0 for a name that says nothing of texts, and more the less else it says.
 *
 * @param {string} name
 */
function rank(name) {
  const folded = foldedName(name);
  if (folded === DEFAULT) return 4;
  if (ALL_TEXT_NAMES.includes(folded)) return 3;
  if (ALL_TEXT_NAMES.some((word) => folded.endsWith(word))) return 2;
  return Number(ALL_TEXT_NAMES.some((word) => folded.includes(word)));
}

/** @type {(columns: number[], lengths: number[]) => { column: number, unsure: boolean }} */
function longest(columns, lengths) {
  const [first, second] = [...columns].sort((a, b) => lengths[b] - lengths[a]);
  return { column: first, unsure: lengths[first] < lengths[second] * CLEARLY_LONGER };
}

/**
 * Return the mean number of Chinese characters in a row's cell of each column, 0 for one that holds
 * no texts. Letters count if no column has Chinese.
 *
 * @type {(width: number, rows: string[][]) => number[]}
 */
function textLengths(width, rows) {
  const columns = cellsBelow(width, rows);
  for (const pattern of [ALL_HAN, ALL_LETTERS]) {
    const lengths = columns.map((cells) => {
      const texts = cells.filter((cell) => !isNumber(cell) && !LINK.test(cell));
      const total = texts.reduce((sum, cell) => sum + count(cell, pattern), 0);
      return cells.length && texts.length * 2 >= cells.length ? total / rows.length : 0;
    });
    if (lengths.some(Boolean)) return lengths;
  }
  return columns.map(() => 0);
}

/** @type {(width: number, rows: string[][]) => string[][]} the cells of each column that are not blank */
const cellsBelow = (width, rows) =>
  Array.from({ length: width }, (_, index) =>
    rows.map((row) => (row[index] ?? "").trim()).filter(Boolean),
  );

/** @param {string[][]} rows */
function hasHeader(rows) {
  const first = rows[0].map((cell) => cell.trim());
  const columns = cellsBelow(first.length, rows.slice(1));
  const onlyNames = rows.length === 1 && first.every((cell) => IDENTIFIER.test(cell));
  if (onlyNames || first.some(isSurelyName)) return { header: true, unsure: false };
  let balance = 0;
  first.forEach((cell, index) => {
    const below = columns[index];
    if (cell && below.length && below.every(isNumber)) balance += isNumber(cell) ? -1 : 1;
  });
  if (balance) return { header: balance > 0, unsure: false };
  if (first.some((cell) => count(cell, ALL_HAN) >= LONG || isSentence(cell))) {
    return { header: false, unsure: false };
  }
  const isAboveChinese = first.some(
    (cell, index) =>
      IDENTIFIER.test(cell) &&
      columns[index].length &&
      mean(columns[index].map((each) => Number(HAN.test(each)))) > 1 / 2,
  );
  if (isAboveChinese) return { header: true, unsure: false };
  const isMuchShorter = first.some((cell, index) => {
    const lengths = columns[index].map((each) => count(each, ALL_HAN));
    return lengths.length && cell && [...cell].length * CLEARLY_LONGER < median(lengths);
  });
  return { header: isMuchShorter, unsure: isMuchShorter };
}

/** @param {string} cell */
function isSurelyName(cell) {
  if (!cell || cell.length > MAX_NAME || isNumber(cell)) return false;
  const folded = foldedName(cell);
  if (HAN.test(cell)) return folded.replace(NAME_WORD, "") === "";
  if (!IDENTIFIER.test(cell) || cell.split(/\s+/).length > 3) return false;
  return NAMES_OF_OTHERS.has(folded) || ENGLISH_TEXT_NAMES.some((word) => folded.includes(word));
}

/** @param {string} name */
const foldedName = (name) =>
  name.trim().toLowerCase().replace(TRADITIONAL_SIGN, (sign) => SIMPLIFIED[TRADITIONAL.indexOf(sign)]);

/** @param {string} cell */
const isSentence = (cell) => HAN.test(cell) && SENTENCE_SIGN.test(cell);
