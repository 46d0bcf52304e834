// Which turn earned the reward: a bar a turn, coloured and sized by its advantage; and whose opinion that is.
import type { Credit, TracePage } from "../types";

/** Blue for credit above zero, orange below; the strength is relative to the largest of the trace. */
export function creditClass(advantage: number | null): string {
  if (advantage === null || advantage === 0) return "credit-none";
  return advantage > 0 ? "credit-plus" : "credit-minus";
}

export function CreditBar({ advantage, largest }: { advantage: number | null; largest: number }) {
  const share = advantage === null ? 0 : Math.min(1, Math.abs(advantage) / (largest || 1));
  const height = 12 * share;
  return (
    <svg class={`credit-bar ${creditClass(advantage)}`} viewBox="0 0 100 25" preserveAspectRatio="none" aria-hidden="true">
      <line x1="0" x2="100" y1="12.5" y2="12.5" />
      <rect x="0" width="100" y={(advantage ?? 0) > 0 ? 12.5 - height : 12.5} height={height} />
    </svg>
  );
}

/** A name for who said it and when: "digirl, iteration 2". */
export function creditName(credit: Credit): string {
  return `${credit.learner || "a learner"}, iteration ${credit.iteration}`;
}

/** The learners that have something to say of a trace, the latest last. */
export function learnersOf(trace: TracePage): string[] {
  return [...new Set(trace.turns.flatMap((turn) => turn.credits.map(creditName)))];
}

/** The trace with the value and the advantage of each turn by this learner. */
export function withCredit(trace: TracePage, name: string): TracePage {
  const turns = trace.turns.map((turn) => {
    const credit = turn.credits.find((one) => creditName(one) === name);
    return { ...turn, value: credit?.value ?? null, advantage: credit?.advantage ?? null };
  });
  return { ...trace, turns };
}

export function CreditChoice({ names, chosen, choose }: { names: string[]; chosen: string; choose: (name: string) => void }) {
  if (!names.length) return null;
  return (
    <p class="credit-choice quiet">
      <label>Credit by{" "}
        {names.length === 1 ? <strong>{chosen}</strong> : (
          <select value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
            {names.map((name) => <option key={name}>{name}</option>)}
          </select>
        )}
      </label>{" "}
      <span class="credit-key"><span class="key-plus" aria-hidden="true" /> better than expected <span class="key-minus" aria-hidden="true" /> worse</span>
    </p>
  );
}
