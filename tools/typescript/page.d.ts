// Types of the page: what the service answers (docs/api.md) and the libraries that it loads.

type Label = "positive" | "neutral" | "negative";
type Probabilities = Record<Label, number>;

type UncertainReason = "low_confidence" | "no_chinese" | "unknown_words";

interface TextFacts {
  characters: number;
  tokens: number;
  unknown: number;
  windows: number;
}

interface Sentiment {
  label: Label;
  confidence: number;
  probabilities: Probabilities;
  uncertain: boolean;
  uncertain_because: UncertainReason[];
  text: TextFacts;
}

interface ProblemBody {
  detail?: string;
  errors?: { type: string }[];
  request_id?: string;
}

// A part of a text: `offset` and `length` count code points.
interface Piece {
  text: string;
  offset: number;
  length: number;
}

interface Sentence extends Piece {
  label: Label;
  confidence: number;
  uncertain: boolean;
}

type Direction = "forward" | "backward";
type Gate = "input" | "forget" | "output";

// A token or, in a text of many tokens, a clause.
interface Unit extends Piece {
  dropped: boolean;
  punctuation: boolean;
  // In log-odds.
  contribution: Probabilities;
  without: Probabilities;
  // Of a token.
  normalized?: string;
  unknown?: boolean;
  // Of a clause.
  unknown_words?: string[];
  // Null where the network does not read the unit.
  gates: Record<Direction, Record<Gate, number>> | null;
  retained: Record<Direction, number> | null;
}

interface Explanation extends Sentiment {
  unit: "token" | "clause";
  tokens: Unit[];
  clauses: Unit[];
}

interface Limits {
  max_text_characters: number;
}

interface ServedModel {
  name: string;
  version: string;
  digest: string;
  engine: string;
  card: string;
  limits: Limits;
}

// What went wrong: the problem of a batch's item, or of a whole request.
interface Failure {
  status: number;
  errors?: { type: string }[];
  detail?: string;
  requestId?: string;
  broken?: boolean;
}

// A line of a stream: its sentiment, or why there is none.
type BatchResult = (Sentiment & { error?: undefined }) | { label?: undefined; error: Failure };

// Answers by path.
interface Answers {
  "v1/model": ServedModel;
  "v1/predict": Sentiment;
  "v1/analyze": { sentences: Sentence[] };
  "v1/explain": Explanation;
}

// Why a row of a file cannot be classified.
type RowProblem =
  | { kind: "quote" | "carriageReturn" | "encoding" | "json" | "noText" }
  | { kind: "fields"; found: number; expected: number };

// A row as a spreadsheet numbers it; `others` are the columns whose cells are no texts:
// other values in JSON, dates in a workbook.
interface FileRow {
  number: number;
  cells: string[];
  problem?: RowProblem;
  others?: number[];
}

// Rows without the header; `column` holds the texts, and `unsure` says that something is a guess.
interface Rows {
  names: string[];
  rows: FileRow[];
  column: number;
  unsure: boolean;
  delimiter?: string;
  header?: boolean;
  sheet?: string;
  sheets?: string[];
}

type Form = "delimited" | "lines" | "jsonLines" | "jsonArray" | "workbook";

// A chosen file; `stem` is its name without endings.
interface ReadFile extends Rows {
  name: string;
  stem: string;
  form: Form;
  encoding?: import("../../service/web/page/reader/encodings.js").EncodingName;
}

// What the visitor has corrected.
interface ReadOptions {
  encoding?: ReadFile["encoding"];
  delimiter?: string;
  header?: boolean;
  sheet?: string;
}

// What a run classifies: the rows of a file, or pasted lines.
interface Table {
  name: string | null;
  stem: string;
  names: string[];
  rows: FileRow[];
  column: number;
}

interface TrustedTypePolicy {
  createScriptURL(name: string): string;
}

declare function SwaggerUIBundle(options: object): void;
declare var trustedTypes:
  | { createPolicy(name: string, rules: Record<string, (text: string) => string>): TrustedTypePolicy }
  | undefined;
