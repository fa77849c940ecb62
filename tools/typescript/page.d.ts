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
  uncertain_because?: UncertainReason[];
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
  normalized: string;
  dropped: boolean;
  punctuation: boolean;
  unknown: string[];
  // In log-odds.
  contribution: Probabilities;
  without: Probabilities;
  // Null where the network does not read the unit.
  gates: Record<Direction, Record<Gate, number>> | null;
  retained: Record<Direction, number> | null;
}

interface Explanation extends Sentiment {
  unit: "token" | "clause";
  units: Unit[];
}

interface Limits {
  max_text_characters: number;
  max_items: number;
  max_body_bytes: number;
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
  requestId?: string;
  broken?: boolean;
}

// An item of a batch: its sentiment, or why there is none.
type BatchResult = (Sentiment & { error?: undefined }) | { label?: undefined; error: Failure };

// Answers by path.
interface Answers {
  "v1/model": ServedModel;
  "v1/predict": Sentiment;
  "v1/predict/batch": { results: BatchResult[] };
  "v1/analyze": { sentences: Sentence[] };
  "v1/explain": Explanation;
}

// Rows of cells with the names of their columns, and the column that holds the texts.
interface Table {
  names: string[];
  rows: string[][];
  column: number;
}

// A chosen file; `headed` says whether its first row names the columns.
interface ReadFile {
  name: string;
  encoding: string;
  rows: string[][];
  headed: boolean;
  column: number;
}

interface TrustedTypePolicy {
  createScriptURL(name: string): string;
}

declare var trustedTypes:
  | { createPolicy(name: string, rules: Record<string, (text: string) => string>): TrustedTypePolicy }
  | undefined;
