// Small things that every page uses.
import { Component } from "preact";
import type { ComponentChildren } from "preact";
import type { Json, Outcome, Rate } from "../types";
import { percent, words } from "../format";

const SIGNS: { [outcome: string]: string } = { success: "✓", failure: "✕", truncated: "◔", unjudged: "–", infra_error: "!" };

/** The outcome as a sign and a word, never as a colour alone. */
export function OutcomeBadge({ outcome }: { outcome: Outcome }) {
  return (
    <span class={`badge outcome-${outcome}`}>
      <span aria-hidden="true">{SIGNS[outcome] ?? "?"}</span> {words(outcome).toLowerCase()}
    </span>
  );
}

/** A reward of 0 or 1 as a sign; other rewards as a number. */
export function RewardMark({ reward }: { reward: number }) {
  if (reward === 1) return <span class="mark good" role="img" aria-label="right">✓</span>;
  if (reward === 0) return <span class="mark bad" role="img" aria-label="wrong">✕</span>;
  return <span class="mark">{reward.toFixed(2)}</span>;
}

/** A rate in per cent with its interval as a whisker. */
export function RateCell({ rate, interval = false }: { rate: Rate | null; interval?: boolean }) {
  if (!rate) return <span class="quiet">–</span>;
  const text = `${percent(rate.value)} % (${percent(rate.low)} to ${percent(rate.high)}), n = ${rate.n}`;
  return (
    <span class="rate" title={text}>
      <span class="number">{percent(rate.value)} %</span> <Whisker low={rate.low} high={rate.high} value={rate.value} />
      {interval && <span class="quiet"> {percent(rate.low)} to {percent(rate.high)}</span>}
    </span>
  );
}

/** An interval on a scale from 0 to 1. */
export function Whisker({ low, high, value }: { low: number; high: number; value: number }) {
  const x = (fraction: number) => 2 + 76 * Math.min(1, Math.max(0, fraction));
  return (
    <svg class="whisker" width="80" height="12" aria-hidden="true">
      <line x1="2" x2="78" y1="6" y2="6" class="track" />
      <line x1={x(low)} x2={x(high)} y1="6" y2="6" class="bar" />
      <circle cx={x(value)} cy="6" r="3" class="dot" />
    </svg>
  );
}

/** What could not be read, said plainly. */
export function Problems({ problems }: { problems: string[] }) {
  if (!problems.length) return null;
  return (
    <div class="problems" role="note">
      <strong>Not everything here could be read.</strong>
      <ul>{problems.map((problem) => <li>{problem}</li>)}</ul>
    </div>
  );
}

export function Notice({ children }: { children: ComponentChildren }) {
  return <p class="notice">{children}</p>;
}

/** A page's state before there is data. */
export function Waiting({ error }: { error: string }) {
  return error ? <p class="notice error" role="alert">{error}</p> : <p class="notice" aria-busy="true">Loading…</p>;
}

/** JSON as an indented outline: keys and values as text. */
export function JsonView({ value }: { value: Json }) {
  if (value === null || typeof value !== "object") {
    return <span class={`json-${value === null ? "null" : typeof value}`}>{String(value)}</span>;
  }
  const entries = Object.entries(value);
  if (!entries.length) return <span class="quiet">{Array.isArray(value) ? "[]" : "{}"}</span>;
  const flat = Array.isArray(value) && value.every((inner) => inner === null || typeof inner !== "object");
  if (flat) return <span class="json-list">[{value.map(String).join(", ")}]</span>;
  return (
    <dl class="json">
      {entries.map(([key, inner]) => (
        <div key={key}>
          <dt>{key}</dt>
          <dd><JsonView value={inner} /></dd>
        </div>
      ))}
    </dl>
  );
}

/** Keeps one broken part from taking the page with it: stored data may have any shape. */
export class Guard extends Component<{ what: string; children: ComponentChildren }, { error: string }> {
  state = { error: "" };

  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error.message : String(error) };
  }

  render() {
    if (!this.state.error) return <>{this.props.children}</>;
    return <p class="notice error">{this.props.what} cannot be shown: {this.state.error}</p>;
  }
}
