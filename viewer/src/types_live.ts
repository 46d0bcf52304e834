// The data of the pages that only the live viewer has.
import type { JsonObject, Label, Rate, RunRow, Series, TraceRow } from "./types";

/** What such a page is given. */
export interface LivePageProps {
  run: string;
  query: URLSearchParams;
}

export interface RunsPage {
  root: string;
  runs: RunRow[];
}

export interface TaskRow {
  id: string;
  instruction: string;
  site: string;
  environment: string;
  split: string;
  provenance: JsonObject;
  /** How far a proposed task came: "proposed", "validated", "accepted", …; "" where the run does not say. */
  stage: string;
  /** Why it was left out; "" for a task that was kept. */
  rejected: string;
  attempts: number;
  success: Rate | null;
  /** Success by iteration: [iteration, successes, episodes]. */
  history: [number, number, number][];
}

export interface TaskList {
  total: number;
  offset: number;
  rows: TaskRow[];
  iterations: number[];
  facets: { [name: string]: string[] };
  /** How many tasks came to each stage and, by reason, how many were left out. */
  stages: { [stage: string]: number };
  rejections: { [reason: string]: number };
}

export interface Pairing {
  first: string;
  second: string;
  tasks: number;
  first_success: number;
  second_success: number;
  difference: number;
  low: number;
  high: number;
  /** Tasks on which one is better, worse, equal. */
  wins: number;
  losses: number;
  ties: number;
  /** Tasks that differ most: [task, instruction, first, second]. */
  examples: { task: string; instruction: string; first: number; second: number; a: string; b: string }[];
}

export interface Comparison {
  runs: RunRow[];
  pairs: Pairing[];
  series: Series[];
  notes: string[];
}

export interface JudgeScore {
  judge: string;
  against: string;
  about: "trace" | "turn";
  n: number;
  true_positive: number;
  false_positive: number;
  false_negative: number;
  true_negative: number;
  precision: Rate | null;
  recall: Rate | null;
  accuracy: Rate | null;
}

export interface LabelPage {
  labels: Label[];
  scores: JudgeScore[];
  /** Traces worth a look: a judge and the oracle disagree and nobody has labelled them. */
  suggestions: TraceRow[];
}

export interface Claim {
  id: string;
  claim: string;
  paper: string;
  value: number | null;
  baseline: number | string | null;
  ci95: [number, number] | null;
  goal: string;
  holds: boolean | null;
  note: string;
  command: string;
  machine: string;
  commit: string;
  date: string;
}

export interface ResultsPage {
  folder: string;
  files: { name: string; claims: Claim[]; problem: string }[];
}
