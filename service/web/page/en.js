// The page's words in English.

// The number may be formatted already.
const some = (n, one) => `${n} ${one}${String(n) === "1" ? "" : "s"}`;
const textsOf = (n) => some(n, "text");

export const en = {
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
  privacy: "Texts are sent only to this service, and the page does not store them.",
  modelLine: (m) => `${m.name} ${m.version} · ${m.engine} · ${m.digest.slice(0, 8)}`,

  keyLabel: "API key",
  keyHint: "This service requires an API key. It is kept in this tab until you close it.",
  keyRefused: "This key is unknown or has expired.",
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
  uncertain: "Low confidence: have a person check this.",
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
    "Each sentence is classified on its own. The label above comes from the whole text; it is not a vote of the sentences.",
  sentenceTip: (text, label, p, unsure) =>
    `“${text}” – ${label}, confidence ${p}${unsure ? ", which is low" : ""}.`,
  tokens: "Why: what each word adds",
  tokensCaption:
    "The colour shows which label a word pushes towards; the number is how much that label's log-odds would fall without it.",
  legend: "Legend",
  legendDropped: "stopword, not read",
  legendUnknown: "unknown word, read by its characters",
  listComma: ", ",
  tokenTip: (token, parts) => `Without “${token}”: ${parts}.`,
  part: (share, label) => `${label.toLowerCase()} ${share}`,
  droppedTip: (token) => `“${token}” is a stopword: the network never sees it.`,
  unknownTip: "It is not in the vocabulary, so it is read by its characters.",
  readAs: (normalized) => `Read as “${normalized}”.`,
  reference: (d) =>
    `The weights in full precision give the same probabilities to within ${d}.`,
  nothingRead: "No word of this text was read, so there is nothing to explain.",
  tooLongToAnalyse:
    "This text has too many sentences to classify each one; the label is for the whole text.",

  gates: "Inside the network: the gates",
  gatesCaption:
    "The LSTM reads the text once forwards and once backwards. For each word, the table shows how far its three gates were open, in percent, and how much of what it wrote is left at the end. The stronger the colour, the higher the number. Stopwords are not read. Hover over a cell or move with the arrow keys for details.",
  forward: "Forwards",
  backward: "Backwards",
  input: "Input gate",
  forget: "Forget gate",
  output: "Output gate",
  retained: "Left at the end",
  gateTip: (direction, gate, token, value, level) => {
    const words = {
      input: `${level} of the word is written into the memory`,
      forget: `${level} of the memory is kept`,
      output: `${level} of the memory is shown`,
    };
    return `${direction}, the ${gate} gate of “${token}” is ${value} on average: ${words[gate]}.`;
  },
  retainedTip: (direction, token, value, level) =>
    `${direction}, ${value} of what “${token}” wrote into the memory is left at the end: ${level}.`,
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

  bulkLines: "Texts, one per line",
  bulkDrop: "Drop a CSV file here, or choose one",
  bulkExample: "Fill in sample lines",
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
    `${n === 1 ? "One row has" : `${n} rows have`} a cell that begins with = + - or @, which a spreadsheet may run as a formula. The file keeps every cell unchanged unless you put an apostrophe in front.`,
  escapeFormulas: "Put an apostrophe in front",
  emptyFile: "This file contains no text.",
  unreadableFile: "This file cannot be read. Is it a CSV or text file?",
  nothingToDo: "There is no text yet: paste some lines or choose a CSV file.",

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
