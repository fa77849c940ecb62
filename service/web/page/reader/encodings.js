// The encoding of a file: its byte order mark, or what decodes and reads as Chinese. The same rules
// in Python: model/bulk/encodings.py.

// The 500 characters that the corpora use most, and their traditional forms.
const COMMON = new Set(
  "的不是一了有好我人很大就在都个这上到还以多也来要可没得中味家下能点时看吃小用么说食道去和" +
  "你为新出天生年子感会后过面真比但次地心自分他们最发同果口国本太菜肉服前系日行想里错然意对" +
  "常老方店高现那情觉而之公电度成实品机加外手务开全如其病餐唔作只间所特定非什价买事给起美入" +
  "三于少等平又位水量知牛再着动学重物打经快理力东者样因主香安完喜期啊性业做月别合第正元市体" +
  "明西已无股员些呢海己种回通友文女更当工部直相吧格今问酒长两法话超包金欢较算收例司哈型被信" +
  "提装油差台师进影内应色身书每甜望配嘅推让左几份接房才清式候片原放名且医送便花流确板十住场" +
  "持白头爱二利音关资辣客总车朋炎吗化先产及值单叫解门既近般评挺怎北活像从建万结整武士南题毒" +
  "表排路保制质汉肺交气视把目效境商黑山料晚满调基网空数该受半与热增货此听足京走费级款星计至" +
  "底状件线带早儿四她周卡男反鸡治拉难蛋民火死院需跟汁粉购微风饭速边或报强将代环科区光钱何传" +
  "使观管五选鱼首鲜容米落课冠越干节消烧程见疫求沙茶告诊失并态找城低考牌张示各认汤记由妈游投" +
  "任试控易华玩始脆字向布希精啦哪指似孩号未防世声待设酸达必咁预息置亿豆乐处球变支佢护续演炸" +
  "复据肝适刚牙盘拿教注致类午眼麻功個這還來沒點時喫麼說説爲為會後過們發國裏錯對現覺電實機務" +
  "開間價買給於動學經東樣業別體無員種當問長兩話歡較裝臺師進內應書讓幾醫確場頭愛關資總車嗎產" +
  "單門評從萬結題質漢氣視滿調網數該與熱貨聽費級計狀線帶兒雞難購風飯邊報強將環區錢傳觀選魚鮮" +
  "課幹節燒見診並態張認湯記媽遊試華號聲設達預億樂處變護續復據適剛盤類",
);
// Of the letters beyond ASCII: a text in a wrong encoding has fewer common ones.
const LEAST_COMMON_SHARE = 0.25;
const LEAST_UTF_8_SHARE = 0.5;
// From this share of the best encoding's score on, the second best may be right as well.
const CLOSE = 0.75;
const WIDE_SAMPLE = 2 ** 14;
const LINE_SAMPLE = 2 ** 16;
const LETTER = /\p{L}/u;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
// Shifted by one byte, UTF-16 has line feeds and spaces in these blocks: Gurmukhi and Gujarati.
const SHIFTED = /[\u0a00-\u0aff]/;

/** @typedef {"UTF-8" | "UTF-16" | "GB18030" | "Big5"} EncodingName */

/** @type {EncodingName[]} */
export const ENCODINGS = ["UTF-8", "GB18030", "Big5", "UTF-16"];

/** @type {[number[], EncodingName, string][]} */
const MARKS = [
  [[0xef, 0xbb, 0xbf], "UTF-8", "utf-8"],
  [[0xff, 0xfe], "UTF-16", "utf-16le"],
  [[0xfe, 0xff], "UTF-16", "utf-16be"],
  [[0x84, 0x31, 0x95, 0x33], "GB18030", "gb18030"],
];

/** @type {(bytes: Uint8Array, start: number[]) => boolean} */
const startsWith = (bytes, start) => start.every((byte, index) => bytes[index] === byte);

/** @param {Uint8Array} bytes */
const isAscii = (bytes) => bytes.every((byte) => byte < 0x80);

/** @type {Map<string, TextDecoder>} since to make one takes longer than to decode a line */
const strict = new Map();

/**
 * Decode bytes; null if they are not in the encoding.
 *
 * @type {(bytes: Uint8Array, codec: string) => string | null}
 */
function decoded(bytes, codec) {
  const decoder = strict.get(codec) ?? new TextDecoder(codec, { fatal: true, ignoreBOM: true });
  strict.set(codec, decoder);
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/**
 * Return the byte order of UTF-16 without a mark, if that is what it is.
 *
 * @param {Uint8Array} bytes
 */
function unmarkedUtf16(bytes) {
  const start = bytes.subarray(0, WIDE_SAMPLE);
  if (!start.includes(0)) return null;
  return ["utf-16le", "utf-16be"].find((codec) => {
    const characters = [...new TextDecoder(codec).decode(start.subarray(0, start.length & ~1))];
    return characters.filter(isUsual).length > characters.length / 2;
  });
}

/** @param {string} character */
const isUsual = (character) =>
  COMMON.has(character) || /[\t-~\u3000-\u303f\uff00-\uffef]/.test(character);

/**
 * Return the lines of a file's start that hold more than ASCII.
 *
 * @param {Uint8Array} bytes
 */
function telling(bytes) {
  const lines = [];
  let evidence = 0;
  for (const line of splitBytes(bytes, LINE_FEED)) {
    if (isAscii(line)) continue;
    lines.push(line);
    evidence += line.length;
    if (evidence > LINE_SAMPLE) break;
  }
  return lines;
}

/** @type {(bytes: Uint8Array, end: number) => Generator<Uint8Array>} */
function* splitBytes(bytes, end) {
  for (let start = 0; start < bytes.length; ) {
    const at = bytes.indexOf(end, start);
    const next = at < 0 ? bytes.length : at + 1;
    yield bytes.subarray(start, next);
    start = next;
  }
}

/**
 * Return the share of common Chinese characters in the letters beyond ASCII.
 *
 * @param {string} text
 */
function commonShare(text) {
  const letters = [...text].filter((character) => character > "\x7f" && LETTER.test(character));
  return letters.length ? letters.filter((character) => COMMON.has(character)).length / letters.length : 0;
}

/**
 * Find the encoding of a file; `unsure` says that another is nearly as likely.
 *
 * @param {Uint8Array} bytes
 * @returns {{ encoding: EncodingName, codec: string, unsure: boolean }}
 */
export function findEncoding(bytes) {
  const marked = MARKS.find(([mark]) => startsWith(bytes, mark));
  if (marked) return { encoding: marked[1], codec: marked[2], unsure: false };
  const wide = unmarkedUtf16(bytes);
  if (wide) return { encoding: "UTF-16", codec: wide, unsure: false };
  const lines = telling(bytes);
  const others = lines.filter((line) => decoded(line, "utf-8") === null);
  const utf8 = { encoding: /** @type {EncodingName} */ ("UTF-8"), codec: "utf-8", unsure: false };
  if (lines.length - others.length >= lines.length * LEAST_UTF_8_SHARE) return utf8;
  const [gb, big5] = ["gb18030", "big5"].map((codec) => {
    const texts = others.map((line) => decoded(line, codec)).filter((text) => text !== null);
    return (commonShare(texts.join("")) * texts.length) / others.length;
  });
  if (Math.max(gb, big5) < LEAST_COMMON_SHARE) return utf8;
  const unsure = Math.min(gb, big5) > Math.max(gb, big5) * CLOSE;
  return gb >= big5
    ? { encoding: "GB18030", codec: "gb18030", unsure }
    : { encoding: "Big5", codec: "big5", unsure };
}

/**
 * Return the decoder's name for an encoding that the visitor has chosen.
 *
 * @type {(encoding: EncodingName, bytes: Uint8Array) => string}
 */
export function codecOf(encoding, bytes) {
  if (encoding !== "UTF-16") return encoding.toLowerCase();
  const marked = MARKS.find(([mark, name]) => name === encoding && startsWith(bytes, mark));
  return marked?.[2] ?? unmarkedUtf16(bytes) ?? "utf-16le";
}

/**
 * A line of a file, with its end; `broken` if its bytes are not in the encoding.
 *
 * @typedef {{ text: string, broken: boolean }} Line
 */

/**
 * Decode a file line by line, so that a broken line is only one row.
 *
 * @type {(bytes: Uint8Array, codec: string) => Line[]}
 */
export function decodedLines(bytes, codec) {
  const whole = codec.startsWith("utf") ? decoded(bytes, codec) : null;
  if (whole !== null || codec.startsWith("utf-16")) {
    const text = whole ?? new TextDecoder(codec, { ignoreBOM: true }).decode(bytes);
    const isWide = codec.startsWith("utf-16");
    return splitText(withoutMark(text)).map((line) => ({
      text: line,
      broken: (whole === null && line.includes("\ufffd")) || (isWide && SHIFTED.test(line)),
    }));
  }
  const doubleByte = codec !== "utf-8";
  // Spreadsheets of the nineties ended lines so.
  const end = bytes.includes(LINE_FEED) ? LINE_FEED : CARRIAGE_RETURN;
  const lines = [...splitBytes(bytes, end)].map((line) => {
    const other = doubleByte && !isAscii(line) ? asUtf8(line) : null;
    const text = other ?? decoded(line, codec);
    // Where a character is broken, quotes and delimiters stay what they are.
    return { text: text ?? new TextDecoder(codec).decode(line), broken: text === null || other !== null };
  });
  if (lines.length) lines[0].text = withoutMark(lines[0].text);
  return lines;
}

/** @param {string} text */
const withoutMark = (text) => (text.startsWith("\ufeff") ? text.slice(1) : text);

/**
 * Split at line feeds, or at carriage returns where there is no line feed.
 *
 * @param {string} text
 */
const splitText = (text) =>
  text.match(text.includes("\n") ? /[^\n]*\n|[^\n]+/g : /[^\r]*\r|[^\r]+/g) ?? [];

/**
 * Return the text of bytes that are UTF-8 with a character of three bytes, as hardly another text is.
 *
 * @param {Uint8Array} line
 */
function asUtf8(line) {
  const text = decoded(line, "utf-8");
  return text !== null && /[^\0-\u07ff]/.test(text) ? text : null;
}
