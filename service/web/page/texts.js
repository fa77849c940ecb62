// Every word that the page says, in both languages.

// English: the number comes plain or formatted.
const some = (n, one) => `${n} ${one}${String(n) === "1" ? "" : "s"}`;
const textsOf = (n) => some(n, "text");

const en = {
  title: "Chinese sentiment",
  subtitle: "Positive, neutral or negative – and why",
  skip: "Skip to the content",
  otherLanguage: "中文",
  dark: "Dark theme",
  light: "Light theme",
  apiDocs: "API",
  ways: "Ways to use the model",
  tabSingle: "One text",
  tabCompare: "Compare two",
  tabBulk: "Many texts",
  privacy: "Texts go to this service alone; the page keeps none.",
  modelLine: (m) => `${m.name} ${m.version} · ${m.engine} · ${m.digest.slice(0, 8)}`,

  keyLabel: "Key",
  keyHint: "This service asks for a key. It stays in this tab, until you close it.",
  keyRefused: "This key is not known, or has expired.",
  keyButton: "Use this key",

  yourText: "Text in Chinese",
  analyse: "Analyse",
  examples: "Examples",
  exampleMixed: "Mixed review",
  exampleComplaint: "Complaint",
  exampleFact: "Plain fact",
  exampleTraditional: "Traditional, emoji",
  exampleUnsure: "Hard to tell",
  exampleContrast: "Many sentences",
  count: (n, limit) => (limit ? `${n} of ${some(limit, "character")}` : some(n, "character")),

  positive: "Positive",
  neutral: "Neutral",
  negative: "Negative",
  confidenceOf: (p) => `confidence ${p}`,
  verdict: (label, p) => `${label}, confidence ${p}.`,
  uncertain: "Too little to rely on: a person should have a look.",
  facts: (f) =>
    [
      some(f.characters, "character"),
      `${some(f.tokens, "token")} read`,
      f.unknown ? `${f.unknown} of them unknown` : "none unknown",
      f.windows > 1 ? `in ${f.windows} windows` : "",
    ]
      .filter(Boolean)
      .join(" · "),

  sentences: "Sentences",
  sentencesCaption:
    "Each sentence read by itself. The label above is read from the whole text, not voted by its sentences.",
  sentenceTip: (text, label, p, unsure) =>
    `“${text}” – ${label}, confidence ${p}${unsure ? ", which is not much" : ""}.`,
  tokens: "Why: words and what they contribute",
  tokensCaption:
    "Colour and shape say towards which label a word pulls, the number by how many points: the label's probability with the word less without it.",
  legend: "Legend",
  legendDropped: "stopword, not read",
  legendUnknown: "unknown word, read by its characters",
  listComma: ", ",
  tokenTip: (token, parts) => `“${token}” adds ${parts}.`,
  part: (points, label) => `${points} points to ${label.toLowerCase()}`,
  droppedTip: (token) => `“${token}” is a stopword: the network never sees it.`,
  unknownTip: "The vocabulary lacks it, so it is read by its characters.",
  readAs: (normalized) => `Read as “${normalized}”.`,
  reference: (d) =>
    `The weights in full precision give the same probabilities to within ${d}.`,
  nothingRead: "Nothing in this text was read, so there is no word to explain.",
  tooLongToExplain:
    "This text is too long to be explained word by word; the label is of the whole text.",
  tooLongToAnalyse:
    "This text has too many sentences to read each by itself; the label is of the whole text.",

  gates: "Inside the network: the gates",
  gatesCaption:
    "The LSTM reads the text once forwards and once backwards. For each word: how far its three gates were open, in per cent, and how much of what it wrote is left in the end. The stronger the colour, the higher the number. Stopwords are not read. Hover over a cell, or walk with the arrow keys.",
  forward: "Forwards",
  backward: "Backwards",
  input: "Input gate",
  forget: "Forget gate",
  output: "Output gate",
  retained: "Left in the end",
  gateTip: (direction, gate, token, value, level) => {
    const words = {
      input: `${level} of the word is written into the memory`,
      forget: `${level} of the memory is kept`,
      output: `${level} of the memory is shown`,
    };
    return `${direction}, the ${gate} gate of “${token}” is ${value} on average: ${words[gate]}.`;
  },
  retainedTip: (direction, token, value, level) =>
    `${direction}, ${value} of what “${token}” wrote into the memory is left in the end: ${level}.`,
  levels: ["almost nothing", "a little", "about half", "most", "nearly all"],

  compareHint: "One word can turn a text around. Write two texts and see what changes.",
  firstText: "First text",
  secondText: "Second text",
  compareButton: "Compare",
  difference: "What changes",
  differenceCaption: "Points by which the second text differs from the first.",
  label: "Label",
  change: "Change",
  changeSentence: (a, b) =>
    a === b ? `Both texts are ${a.toLowerCase()}.` : `From ${a.toLowerCase()} to ${b.toLowerCase()}.`,

  bulkLines: "Texts, one a line",
  bulkDrop: "Drop a CSV file here, or choose one",
  bulkExample: "Fill in some lines",
  bulkCount: textsOf,
  bulkStart: "Analyse all",
  chosenFile: (name, n) => `${name}: ${some(n, "row")}`,
  decodedAs: (encoding) => `read as ${encoding.toUpperCase()}`,
  textColumn: "Column with the texts",
  headerRow: "The first row names the columns",
  removeFile: "Remove the file",
  columnName: (n) => `column_${n}`,
  cancel: "Cancel",
  bulkDone: (n, all) => `${n} of ${textsOf(all)}`,
  bulkFinished: (n) => `Done: ${textsOf(n)}.`,
  bulkCancelled: (n, all) => `Cancelled: ${n} of ${textsOf(all)} done.`,
  bulkStopped: (n, all) => `Stopped: ${n} of ${textsOf(all)} done.`,
  notDone: "not analysed",
  labels: "Labels",
  errors: "No answer",
  chartSummary: (parts) => `Bar chart of the labels: ${parts}.`,
  chartPart: (label, n, share) => `${label} ${n} (${share})`,
  share: "Share",
  number: "Texts",
  results: "Results",
  onlyFirst: (shown, all) =>
    `The table shows the first ${shown} of ${all} rows; the download has them all.`,
  row: "Row",
  text: "Text",
  confidence: "Confidence",
  error: "Error",
  download: "Download CSV",
  formulas: (n) =>
    `${n === 1 ? "One row has" : `${n} rows have`} a cell that begins with = + - or @, which a spreadsheet may run as a formula. The file keeps every cell letter for letter, unless you put an apostrophe before them.`,
  escapeFormulas: "Put an apostrophe before them",
  emptyFile: "There is no text in this file.",
  unreadableFile: "This file cannot be read. Is it a CSV or text file?",
  nothingToDo: "There is no text yet: paste some lines or choose a CSV file.",

  problem: {
    0: () => "The service cannot be reached. Is it running, and are you online?",
    408: () => "The text did not arrive in time. Please try again.",
    413: (limit) =>
      limit
        ? `This text is too long: at most ${limit} characters can be read at once. Please shorten it.`
        : "This text is too long. Please shorten it.",
    422: () => "There is nothing to read here. Please write a text.",
    429: () => "The service is very busy. Please try again in a moment.",
    503: () => "The model is not ready yet. Please try again in a moment.",
    504: () => "The answer took too long. Please try again, perhaps with a shorter text.",
    500: (_, id) => `The service failed. Its log says more${id ? ` (request ${id})` : ""}.`,
    halfCharacter: () =>
      "This text holds half of a character, which cannot be read. Please remove it.",
    broken: () =>
      "The model could not be loaded. Whoever runs this service finds the reason in its log.",
    library: () => "A part of the page could not be loaded. Please try again.",
  },
  waiting: {
    429: (s) => `The service is busy; asking again in ${s} s …`,
    503: () => "The model is still loading; the answer will come by itself …",
  },
};

const zh = {
  title: "中文情感分析",
  subtitle: "正面、中性还是负面，以及为什么",
  skip: "跳到正文",
  otherLanguage: "English",
  dark: "深色主题",
  light: "浅色主题",
  apiDocs: "接口文档",
  ways: "使用方式",
  tabSingle: "单条文本",
  tabCompare: "两条对比",
  tabBulk: "批量分析",
  privacy: "文本只发送到本服务，页面不保存。",
  modelLine: en.modelLine,

  keyLabel: "密钥",
  keyHint: "本服务需要密钥。密钥只保存在此标签页中，关闭即失效。",
  keyRefused: "密钥无效或已过期。",
  keyButton: "使用此密钥",

  yourText: "中文文本",
  analyse: "分析",
  examples: "示例",
  exampleMixed: "褒贬都有",
  exampleComplaint: "投诉",
  exampleFact: "事实陈述",
  exampleTraditional: "繁体与表情",
  exampleUnsure: "难以判断",
  exampleContrast: "多句评价",
  count: (n, limit) => (limit ? `${n} / ${limit} 字` : `${n} 字`),

  positive: "正面",
  neutral: "中性",
  negative: "负面",
  confidenceOf: (p) => `置信度 ${p}`,
  verdict: (label, p) => `${label}，置信度 ${p}。`,
  uncertain: "置信度偏低，建议人工复核。",
  facts: (f) =>
    [
      `${f.characters} 字`,
      `读入 ${f.tokens} 个词`,
      f.unknown ? `其中 ${f.unknown} 个未登录词` : "没有未登录词",
      f.windows > 1 ? `分 ${f.windows} 段读取` : "",
    ]
      .filter(Boolean)
      .join(" · "),

  sentences: "逐句结果",
  sentencesCaption: "每句单独判断。上面的标签由全文得出，不是各句投票的结果。",
  sentenceTip: (text, label, p, unsure) =>
    `“${text}”：${label}，置信度 ${p}${unsure ? "，偏低" : ""}。`,
  tokens: "为什么：每个词的贡献",
  tokensCaption:
    "颜色和符号表示这个词把结果推向哪个标签，数字是推动的百分点：有这个词时该标签的概率，减去没有它时的概率。",
  legend: "图例",
  legendDropped: "停用词，不读取",
  legendUnknown: "未登录词，按字读取",
  listComma: "，",
  tokenTip: (token, parts) => `“${token}”的贡献：${parts}。`,
  part: (points, label) => `${label} ${points} 个百分点`,
  droppedTip: (token) => `“${token}”是停用词，网络不会读取。`,
  unknownTip: "词表中没有这个词，按单字读取。",
  readAs: (normalized) => `读作“${normalized}”。`,
  reference: (d) => `用全精度权重计算，各概率相差不超过 ${d}。`,
  nothingRead: "这条文本没有读入任何词，因此没有可解释的内容。",
  tooLongToExplain: "文本太长，无法逐词解释；标签由全文得出。",
  tooLongToAnalyse: "句子太多，无法逐句判断；标签由全文得出。",

  gates: "网络内部：门的开合",
  gatesCaption:
    "LSTM 从前往后、从后往前各读一遍。表中是每个词的三个门平均打开的百分比，以及它写入的内容最后还剩多少。颜色越浓，数值越高。停用词不读取。指向单元格，或用方向键移动，可看说明。",
  forward: "从前往后",
  backward: "从后往前",
  input: "输入门",
  forget: "遗忘门",
  output: "输出门",
  retained: "最后留存",
  gateTip: (direction, gate, token, value, level) => {
    const words = {
      input: `这个词${level}写入记忆`,
      forget: `之前的记忆${level}保留`,
      output: `记忆${level}输出`,
    };
    return `${direction}读，“${token}”的${zh[gate]}平均为 ${value}：${words[gate]}。`;
  },
  retainedTip: (direction, token, value, level) =>
    `${direction}读，“${token}”写入记忆的内容最后还剩 ${value}：${level}留存。`,
  levels: ["几乎不", "少量", "约一半", "大部分", "几乎全部"],

  compareHint: "一个字就能让意思反过来。写下两条文本，看看有什么变化。",
  firstText: "第一条",
  secondText: "第二条",
  compareButton: "对比",
  difference: "有什么变化",
  differenceCaption: "第二条比第一条多（+）或少（−）的百分点。",
  label: "标签",
  change: "变化",
  changeSentence: (a, b) => (a === b ? `两条都是${a}。` : `从${a}变为${b}。`),

  bulkLines: "文本，每行一条",
  bulkDrop: "把 CSV 文件拖到这里，或点击选择",
  bulkExample: "填入几行示例",
  bulkCount: (n) => `${n} 条文本`,
  bulkStart: "全部分析",
  chosenFile: (name, n) => `${name}：${n} 行`,
  decodedAs: (encoding) => `按 ${encoding.toUpperCase()} 读取`,
  textColumn: "文本所在的列",
  headerRow: "第一行是列名",
  removeFile: "移除文件",
  columnName: (n) => `column_${n}`,
  cancel: "取消",
  bulkDone: (n, all) => `${n} / ${all} 条`,
  bulkFinished: (n) => `完成：共 ${n} 条。`,
  bulkCancelled: (n, all) => `已取消：完成 ${n} / ${all} 条。`,
  bulkStopped: (n, all) => `已停止：完成 ${n} / ${all} 条。`,
  notDone: "未分析",
  labels: "标签分布",
  errors: "无结果",
  chartSummary: (parts) => `标签分布条形图：${parts}。`,
  chartPart: (label, n, share) => `${label} ${n} 条（${share}）`,
  share: "占比",
  number: "条数",
  results: "结果",
  onlyFirst: (shown, all) => `表中只列出前 ${shown} 行，共 ${all} 行；下载的文件是完整的。`,
  row: "行",
  text: "文本",
  confidence: "置信度",
  error: "错误",
  download: "下载 CSV",
  formulas: (n) =>
    `有 ${n} 行含有以 = + - 或 @ 开头的单元格，电子表格可能把它当作公式执行。文件会逐字保留原文，除非选择在前面加撇号。`,
  escapeFormulas: "在这些单元格前加撇号",
  emptyFile: "这个文件里没有文本。",
  unreadableFile: "无法读取这个文件。它是 CSV 或文本文件吗？",
  nothingToDo: "还没有文本：请粘贴几行，或选择一个 CSV 文件。",

  problem: {
    0: () => "无法连接到服务。请确认服务正在运行、网络正常。",
    408: () => "文本未能及时送达，请重试。",
    413: (limit) =>
      limit ? `文本太长：一次最多读取 ${limit} 字，请缩短后再试。` : "文本太长，请缩短后再试。",
    422: () => "这里没有可读的内容，请输入文本。",
    429: () => "服务非常繁忙，请稍后再试。",
    503: () => "模型尚未就绪，请稍后再试。",
    504: () => "等待结果超时，请重试，或缩短文本。",
    500: (_, id) => `服务出错，详情见服务日志${id ? `（请求 ${id}）` : ""}。`,
    halfCharacter: () => "文本中有残缺的字符，无法读取，请将其删去。",
    broken: () => "模型无法加载，请联系服务的管理者，原因见服务日志。",
    library: () => "页面的一部分无法加载，请重试。",
  },
  waiting: {
    429: (s) => `服务繁忙，${s} 秒后重试……`,
    503: () => "模型正在加载，结果会自动出现……",
  },
};

const LANGUAGES = { en, zh };
const listeners = [];

// Storage can be forbidden or full: then nothing is remembered.
export function remembered(key) {
  try {
    return localStorage.getItem(`zh-sentiment-${key}`);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`zh-sentiment-${key}`, value);
  } catch {
    // not remembered
  }
}

let language = remembered("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
if (!LANGUAGES[language]) language = "en";

export const locale = () => (language === "zh" ? "zh-CN" : "en");

export function t(key, ...values) {
  const text = LANGUAGES[language][key];
  return typeof text === "function" ? text(...values) : text;
}

// The sentence for a problem; `limit` is the longest text.
export function problemText(problem, limit) {
  const sentences = t("problem");
  const half = problem.errors?.some(({ type }) => type === "string_unicode");
  const kind = problem.broken ? "broken" : half ? "halfCharacter" : problem.status;
  return (sentences[kind] ?? sentences[500])(limit && wholeNumber(limit), problem.requestId);
}

export function waitingText(problem) {
  return t("waiting")[problem.status](problem.wait);
}

export const wholeNumber = (n) => n.toLocaleString(locale());

export const percent = (share) =>
  share.toLocaleString(locale(), { style: "percent", maximumFractionDigits: 1 });

// Percentage points with their sign; a true minus, and no sign before zero.
export function points(difference) {
  const rounded = Math.round(difference * 1000) / 10;
  if (!rounded) return "0";
  const digits = Math.abs(rounded).toLocaleString(locale(), { maximumFractionDigits: 1 });
  return (rounded > 0 ? "+" : "−") + digits;
}

export function onLanguage(listener) {
  listeners.push(listener);
}

export function otherLanguage() {
  language = language === "zh" ? "en" : "zh";
  remember("language", language);
  tellLanguage();
}

export function tellLanguage() {
  document.documentElement.lang = locale();
  document.title = t("title");
  for (const place of document.querySelectorAll("[data-t]")) {
    place.textContent = t(place.dataset.t);
  }
  for (const place of document.querySelectorAll("[data-t-label]")) {
    place.setAttribute("aria-label", t(place.dataset.tLabel));
  }
  for (const listener of listeners) listener();
}
