// The page's words in English.

// The number may be formatted already.
const some = (n, one) => `${n} ${one}${String(n) === "1" ? "" : "s"}`;
const textsOf = (n) => some(n, "text");

export const en = {
  title: "Chinese sentiment analysis",
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
  privacy: "Texts are sent only to this service; this tab keeps them until you close it.",
  modelCard: "Model card",
  close: "Close",
  table: "Table",
  modelLine: (m) => `${m.name} ${m.version} · ${m.engine} · ${m.digest.slice(0, 8)}`,

  keyLabel: "API key",
  keyHint:
    "This service requires an API key; whoever runs it can give you one. It is kept in this tab until you close it.",
  keyRefused: "This key is unknown or has expired.",
  keyButton: "Use this key",

  yourText: "Text in Chinese",
  analyse: "Analyse",
  analysing: "Analysing…",
  stillWaiting: "Still waiting for the service.",
  cancelled: "Cancelled.",
  stale: "The text has changed. This is the answer for the text before.",
  staleComparison: "The texts have changed. This compares the texts before.",
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
  uncertainBecause: {
    low_confidence: "Low confidence – have someone check this.",
    no_chinese: "No Chinese word was read, so do not rely on this.",
    unknown_words: "The model does not know at least half of its words.",
  },
  facts: (f, took) =>
    [
      some(f.characters, "character"),
      `${some(f.tokens, "token")} read`,
      f.unknown === "0" ? "none unknown" : `${f.unknown} of them unknown`,
      f.windows === "1" ? "" : `in ${f.windows} windows`,
      took,
    ]
      .filter(Boolean)
      .join(" · "),

  sentences: "Sentences",
  allSentences: (n) => `Show all ${n} sentences`,
  sentencesCaption:
    "Each sentence on its own. The overall label comes from the whole text, not from a vote.",
  sentenceTip: (text, label, p, unsure) =>
    `“${text}” – ${label}, confidence ${p}${unsure ? ", which is low" : ""}.`,
  why: "Why",
  quoted: (words) => `“${words}”`,
  conclusion: (label, towards, against) => {
    const all = (words) => words.join(", ").replace(/, ([^,]*)$/, " and $1");
    if (!towards.length && !against.length) return `No part decides alone: the text stays ${label.toLowerCase()} whichever is left out.`;
    return [
      towards.length ? `What makes it ${label.toLowerCase()}: ${all(towards)}.` : `No part by itself makes it ${label.toLowerCase()}.`,
      against.length ? `What speaks against: ${all(against)}.` : "",
    ]
      .filter(Boolean)
      .join(" ");
  },
  unitNames: { token: "word", clause: "clause" },
  unitsCaption: (unit) =>
    `The colour shows which label a ${unit} pushes towards; the number is how far that label's log-odds would fall without it (0.7 doubles the odds, 2.3 multiplies them by ten).`,
  legend: "Legend",
  legendDropped: "stopword, not read",
  legendPunctuation: "punctuation",
  legendUnknown: "unknown word, read by its characters",
  listComma: ", ",
  unitTip: (unit, parts) => `Without ${unit}: ${parts}.`,
  part: (share, label) => `${label.toLowerCase()} ${share}`,
  droppedTip: (token) => `${token} is a stopword: the network never sees it.`,
  unknownTip: "It is not in the vocabulary, so it is read by its characters.",
  unknownWordsTip: (words) => `Not in the vocabulary: ${words}.`,
  readAs: (normalized) => `Read as “${normalized}”.`,
  nothingRead: "No word of this text was read, so there is nothing to explain.",
  tooLongToAnalyse:
    "This text has too many sentences to classify each one; the label is for the whole text.",

  gates: "Look inside the LSTM",
  gatesLead: (unit, written, left) =>
    `${unit} wrote most into the memory: its input gates were ${written} open, and ${left} of what it wrote is still there at the end.`,
  gatesCaption:
    "The LSTM reads the text once forwards and once backwards. For each word, the table shows how far its three gates were open and how much of what it wrote is still in memory at the end, all in percent. The stronger the colour, the higher the number. Stopwords are not read. Hover over a cell or move with the arrow keys for details.",
  forward: "Forwards",
  backward: "Backwards",
  input: "Input gate",
  forget: "Forget gate",
  output: "Output gate",
  retained: "Still in memory at the end",
  gateTip: (direction, gate, unit, value, level) => {
    if (gate === "retained") {
      return `${direction}, ${value} of what ${unit} wrote into the memory is still there at the end: ${level}.`;
    }
    const words = {
      input: `${level} of the word is written into the memory`,
      forget: `${level} of the memory is kept`,
      output: `${level} of the memory is shown`,
    };
    return `${direction}, the ${gate} gate of ${unit} is ${value} open on average: ${words[gate]}.`;
  },
  levels: ["almost nothing", "a little", "about half", "most", "nearly all"],

  judge: "Is this right?",
  judgeRight: "Right",
  judgeWrong: "Wrong, it is",
  marksHint: "Kept in this tab; sentiment train takes the file.",
  marksDownload: (n) => `Download ${some(n, "correction")} (CSV)`,

  developers: "For developers",
  curl: "curl",
  python: "Python",
  javascript: "JavaScript",
  reply: "Reply (JSON)",
  code: "Code",
  copy: "Copy",
  copied: "Copied",
  selected: "Selected – press Ctrl+C",
  otherCalls: "Sentences, reasons, batches and streams have calls of their own:",
  link: "Link to this text",
  copyLink: "Copy link",
  linkHint: "The link holds the text after its #, which browsers never send to a server.",

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

  bulkLines: "One text per line",
  bulkDrop: "Drop a file here, or choose one: Excel (.xlsx), CSV, TSV, JSON, text, also as .gz",
  bulkExample: "Use sample texts",
  bulkCount: textsOf,
  bulkStart: "Analyse all",
  readingFile: (name) => `Reading ${name} …`,
  chosenFile: (name, n) => `${name}: ${some(n, "row")}`,
  understood: (parts) => `Read as ${parts}`,
  forms: {
    delimited: "table",
    lines: "one text per line",
    jsonLines: "JSON Lines",
    jsonArray: "JSON array",
    workbook: "Excel workbook",
  },
  separatedBy: (name) => `separated by ${name}`,
  delimiters: { ",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars" },
  sheetNamed: (name) => `sheet “${name}”`,
  withHeader: "with a header",
  withoutHeader: "without a header",
  checkGuess: "Part of this is a guess: please check that the highlighted column holds your texts.",
  brokenRows: (n, number, why) =>
    `${some(n, "row")} cannot be analysed; the first is row ${number}: ${why}.`,
  rowProblem: {
    quote: () => "a quote is not closed, or not doubled",
    carriageReturn: () => "a carriage return stands in a field without quotes",
    encoding: () => "its bytes are not in the encoding of the file",
    json: () => "the line is not a JSON object",
    noText: () => "there is no text in this column",
    /** @param {any} problem */
    fields: ({ found, expected }) => `${some(found, "field")} where the table has ${expected}`,
  },
  textColumn: "Column with the texts",
  headerRow: "The first row names the columns",
  encoding: "Encoding",
  delimiter: "Separator",
  sheet: "Sheet",
  firstRows: "The first rows of the file",
  unnamedColumn: (n) => `column ${n} (no name)`,
  removeFile: "Remove the file",
  backToRows: "← Back to the rows",
  cancel: "Cancel",
  bulkDone: (n, all) => `${n} of ${textsOf(all)}`,
  bulkSpeed: (rate, left) => `${rate} per second · ${left} left`,
  timeLeft: (s) => (s < 90 ? `${s} s` : `${Math.round(s / 60)} min`),
  bulkFinished: (n) => `Done: ${textsOf(n)}.`,
  bulkCancelled: (n, all) => `Cancelled: ${n} of ${textsOf(all)} done.`,
  bulkStopped: (n, all) => `Stopped: ${n} of ${textsOf(all)} done.`,
  sentenceSpace: " ",
  uncertainOf: (n, share) => `${n} uncertain (${share}).`,
  withoutAnswer: (n) => `${some(n, "row")} without an answer.`,
  notDone: "not analysed",
  rowBlank: "This row is blank.",
  labels: "Labels",
  errors: "No answer",
  share: "Share",
  number: "Texts",
  ofThemUncertain: "Uncertain",
  chartTitle: "Labels by column",
  chartBy: "By",
  asShares: "as shares",
  otherGroups: "all others",
  group: "Value",
  chartNumbers: "The numbers as a table",
  chartSummary: (name, n) => `Stacked bars of the labels by ${name}, ${n} in all; the numbers follow as a table.`,
  results: "Results",
  resultsOf: (name) => `Results: ${name}`,
  rows: "Row by row",
  rowsHint:
    "Choose a text to see why it got its label. If a label is wrong, choose the right one beside it; if it is right, choose the same.",
  allLabels: "all",
  show: "Show",
  showAll: "all rows",
  showUncertain: "only uncertain",
  showCertain: "only certain",
  showMarked: "only those you marked",
  search: "Search",
  rowsShown: (first, last, all) => `Rows ${first} to ${last} of ${all}`,
  noRows: "No row fits.",
  previousRows: "Previous",
  nextRows: "Next",
  row: "Row",
  text: "Text",
  confidence: "Confidence",
  uncertainMark: "uncertain",
  openWhy: "See why",
  yourLabel: "Your label",
  markRow: (n) => `The right label for row ${n}`,
  notMarked: "not marked",
  marked: (n) => `${textsOf(n)} marked by you`,
  saveMarks: "Download the marked texts",
  trainOnMarks: "Teach the model with this file: {command}",
  download: "Download CSV",
  formulas: (n) =>
    `${n === 1 ? "One row has" : `${n} rows have`} a cell that begins with = + - or @, which a spreadsheet may run as a formula. The file keeps every cell unchanged unless you escape them.`,
  escapeFormulas: "Escape them for Excel",
  unreadable: {
    empty: "This file contains no text.",
    tooLarge: "This file has more than 64 MB, which is too much for a page. On the command line, sentiment predict FILE takes files of any size.",
    damaged: "This file is damaged and cannot be unpacked. Save it again and choose it anew.",
    binary: "This file is not text, or in an encoding that is not known. Save the table as .xlsx or as CSV in UTF-8.",
    json: "This file is not valid JSON.",
    noObjects: "This JSON holds no rows. A table is an array of objects, or one object per line.",
    xls: "This is an old Excel workbook (.xls), or one with a password. Save it as .xlsx without a password.",
    pdf: "This is a PDF. Copy its table into a spreadsheet and save that as .xlsx.",
    image: "This is an image or a recording, not a table of texts.",
    archive: "This is a compressed archive. Unpack it and choose the file inside.",
    zip: "This is a ZIP archive, not an Excel workbook. Unpack it and choose the file inside.",
    parquet: "This is a Parquet file, which a page cannot read. On the command line, sentiment predict FILE can.",
    sqlite: "This is an SQLite database. Export the table as CSV.",
    html: "This is a web page, as some programs export tables. Open it in Excel and save it as .xlsx.",
  },
  nothingToDo: "There is no text yet: paste some lines or choose a file.",
  nothingToAnswer: "No row of this file can be analysed. Check the column, the encoding and the separator above.",

  problem: {
    0: () => "The service cannot be reached. Is it running, and are you online?",
    408: () => "The text did not arrive in time. Please try again.",
    413: (limit) =>
      limit
        ? `This text is too long: at most ${limit} characters can be read at once. Please shorten it.`
        : "This text is too long. Please shorten it.",
    422: () => "There is nothing to read here. Please enter a text.",
    429: () => "The service is very busy. Please try again in a moment.",
    503: () => "The model is not ready yet. Please try again in a moment.",
    504: () => "The answer took too long. Please try again, perhaps with a shorter text.",
    500: (_, id) => `The service failed; see its log${id ? ` (request ${id})` : ""}.`,
    halfCharacter: () =>
      "This text contains half a character, which cannot be read. Please remove it.",
    broken: () =>
      "The model could not be loaded. The operator of this service can find the reason in its log.",
    library: () => "Part of the page could not be loaded. Please try again.",
  },
  waiting: {
    429: (s) => `The service is busy; asking again in ${s} s …`,
    503: () => "The model is still loading; the answer will appear by itself …",
  },
};
