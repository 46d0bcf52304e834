// What the pages read. The other half of this contract is src/turnsmith/view/shape.py (and its callers): field names
// there and here are the same. Values inside `info`, `params`, `provenance` and `hidden` come from environments and
// models and may be anything.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export type Outcome = "success" | "failure" | "truncated" | "unjudged" | "infra_error";

/** A figure with its 95 % interval, in the unit given. */
export interface Figure {
  name: string;
  value: number | null;
  low: number | null;
  high: number | null;
  unit: string;
}

/** A success rate as a fraction, with its Wilson interval and the number of episodes. */
export interface Rate {
  value: number;
  low: number;
  high: number;
  n: number;
}

export interface RunRow {
  name: string;
  recipe: string;
  preset: string;
  seed: number | null;
  status: string;
  updated: number;
  iteration: number | null;
  iterations: number | null;
  steps_per_s: number | null;
  success: Rate | null;
  traces: number;
  infra_errors: number;
  seconds_left: number | null;
  problems: string[];
}

export interface Point {
  step: number | null;
  iteration: number | null;
  /** Seconds since the run's first row. */
  time: number | null;
  value: number;
  low: number | null;
  high: number | null;
}

export interface Series {
  metric: string;
  phase: string;
  points: Point[];
  /** What the x axis is where it is neither iterations nor steps nor seconds; the values are in `step`. */
  axis?: string;
  /** Set where curves of several runs are drawn together. */
  label?: string;
  /** The curves behind a mean over seeds. */
  members?: Point[][];
}

/** One evaluation: a phase and an iteration. */
export interface Evaluation {
  phase: string;
  iteration: number;
  success: Rate | null;
  episodes: number;
  /** Mean, over the episodes that count. */
  steps: number;
  /** The fraction that ran out of steps or tokens. */
  truncated: number;
  infra_errors: number;
}

export interface Overview {
  run: RunRow;
  summary: Figure[];
  evaluations: Evaluation[];
  series: Series[];
  config: JsonObject;
  /** Traces to begin with: in a report, those that are in it; live, the last ones. */
  picks: TraceRow[];
}

export interface TraceRow {
  seq: number;
  id: string;
  task: string;
  instruction: string;
  environment: string;
  site: string;
  split: string;
  phase: string;
  iteration: number | null;
  outcome: Outcome;
  policy: string;
  seed: number;
  created: number;
  turns: number;
  solved: boolean;
  verdicts: { [judge: string]: number };
  surprise: number | null;
  value_error: number | null;
  labels: number;
  /** In a report: "before" or "after". */
  group?: string;
}

export interface TraceList {
  total: number;
  offset: number;
  rows: TraceRow[];
  facets: { [name: string]: string[] };
  /** Fraction of traces whose surprise is known; below 1 while it is being computed. */
  surprise_ready: number;
}

export interface Observation {
  text: string;
  images: string[];
  error: string;
  info: JsonObject;
}

export interface Tokens {
  ids: number[];
  logprobs: number[];
  sampled: boolean[];
  texts: string[] | null;
  prompt: number;
}

/** What a learner made of a turn, at one iteration of its learning. */
export interface Credit {
  learner: string;
  iteration: number;
  value: number | null;
  advantage: number | null;
}

export interface Turn {
  index: number;
  thread: number;
  observation: Observation;
  action: { text: string; call: { name: string; arguments: JsonObject } | null; error: string; stop: string };
  tokens: Tokens;
  reward: number;
  /** By all learners, the latest last. */
  credits: Credit[];
  /** Of the credit that is looked at: the latest, unless another was chosen (`withCredit`). */
  value: number | null;
  advantage: number | null;
  seconds: number[];
  info: JsonObject;
}

export interface Thread {
  id: number;
  parent: number | null;
  spawned_at: number;
  joined_at: number | null;
  status: string;
  delay: number;
}

export interface Verdict {
  judge: string;
  reward: number;
  reason: string;
  turn: number | null;
}

export interface Label {
  trace_id: string;
  turn: number | null;
  correct: boolean;
  note: string;
  created_at: number;
}

export interface TracePage {
  row: TraceRow;
  task: { id: string; instruction: string; params: JsonObject; provenance: JsonObject; hidden: JsonObject };
  turns: Turn[];
  final: Observation | null;
  threads: Thread[];
  info: JsonObject;
  verdicts: Verdict[];
  labels: Label[];
  /** Other traces of the same task in the same run. */
  attempts: TraceRow[];
  problems: string[];
}
