// What differs between two texts, code point by code point.

/**
 * A piece of a text, and whether the other text lacks it.
 *
 * @typedef {[words: string, differs: boolean]} TextPart
 */

// The longest common subsequence takes time and memory by the product of the lengths.
const MAX_PRODUCT = 1_000_000;

/** @type {(a: string[], b: string[]) => Uint16Array[]} */
function commonLengths(a, b) {
  const rows = [new Uint16Array(b.length + 1)];
  for (const character of a) {
    const before = rows[rows.length - 1];
    const row = new Uint16Array(b.length + 1);
    for (let j = 0; j < b.length; j++) {
      row[j + 1] = character === b[j] ? before[j] + 1 : Math.max(before[j + 1], row[j]);
    }
    rows.push(row);
  }
  return rows;
}

/**
 * Return for each character whether the other text lacks it.
 *
 * @type {(a: string[], b: string[]) => [boolean[], boolean[]]}
 */
function lacking(a, b) {
  const [ofA, ofB] = [a.map(() => true), b.map(() => true)];
  if (a.length * b.length > MAX_PRODUCT) return [ofA, ofB];
  const lengths = commonLengths(a, b);
  for (let i = a.length, j = b.length; i && j; ) {
    if (a[i - 1] === b[j - 1]) {
      ofA[--i] = false;
      ofB[--j] = false;
    } else if (lengths[i - 1][j] >= lengths[i][j - 1]) i--;
    else j--;
  }
  return [ofA, ofB];
}

/** @type {(characters: string[], differs: boolean[]) => TextPart[]} */
function parts(characters, differs) {
  /** @type {TextPart[]} */
  const found = [];
  characters.forEach((character, index) => {
    const last = found.at(-1);
    if (last && last[1] === differs[index]) last[0] += character;
    else found.push([character, differs[index]]);
  });
  return found;
}

/**
 * Split both texts into what they share and what they do not.
 *
 * @type {(first: string, second: string) => [TextPart[], TextPart[]]}
 */
export function differences(first, second) {
  const [a, b] = [Array.from(first), Array.from(second)];
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start++;
  let end = 0;
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const [ofA, ofB] = lacking(a.slice(start, a.length - end), b.slice(start, b.length - end));
  /** @type {(differs: boolean[]) => boolean[]} */
  const whole = (differs) => [...Array(start).fill(false), ...differs, ...Array(end).fill(false)];
  return [parts(a, whole(ofA)), parts(b, whole(ofB))];
}
