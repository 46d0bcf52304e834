// What the agent thought and did on one turn, and what it was worth.
import type { Json, TracePage, Turn } from "../types";
import { duration, number, signed } from "../format";
import { JsonView, RewardMark } from "./basic";
import { creditClass, creditName } from "./Credit";
import { TokenStrip } from "./TokenStrip";
import { LabelControl } from "./LabelControl";

/** Split "Thought: … Action: …" (also lower case, also without a thought); the rest stays one text. */
export function thoughtOf(text: string): { thought: string; action: string } {
  const found = /^(?:\s*thought:)?([\s\S]*?)\n?\s*action:([\s\S]*)$/i.exec(text);
  return found ? { thought: found[1]!.trim(), action: found[2]!.trim() } : { thought: text.trim(), action: "" };
}

export function describeCall(turn: Turn): string {
  const call = turn.action.call;
  if (!call) return turn.action.error ? "not understood" : "–";
  const { mark, ...rest } = call.arguments;
  const shown = [mark === undefined || mark === null ? "" : `[${String(mark)}]`, ...Object.values(rest).map(short)];
  return [call.name, ...shown].filter(Boolean).join(" ");
}

function short(value: Json): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 60 ? text.slice(0, 59) + "…" : text;
}

export function TurnDetails({ run, trace, turn, onLabel }: { run: string; trace: TracePage; turn: Turn; onLabel: () => void }) {
  const { thought, action } = thoughtOf(turn.action.text);
  const next = trace.turns[turn.index + 1]?.observation ?? trace.final;
  const verdicts = trace.verdicts.filter((verdict) => verdict.turn === turn.index);
  const [act, environment] = turn.seconds;
  return (
    <article class="turn-details" aria-label={`Turn ${turn.index + 1}`}>
      {turn.observation.error && <p class="step-error">The agent was told: {turn.observation.error}</p>}
      {thought && <section><h3>Thought</h3><p class="thought">{thought}</p></section>}
      <section>
        <h3>Action</h3>
        <p class="action-call">{describeCall(turn)}</p>
        {action && <p class="quiet raw-action">{action}</p>}
        {turn.action.error && <p class="step-error">{turn.action.error}</p>}
        {!turn.action.error && next?.error && <p class="step-error">{next.error}</p>}
      </section>
      <dl class="figures">
        <div><dt>advantage</dt><dd class={creditClass(turn.advantage)}>{signed(turn.advantage)}</dd></div>
        <div><dt>value</dt><dd>{number(turn.value)}</dd></div>
        <div><dt>reward</dt><dd>{number(turn.reward)}</dd></div>
        <div><dt>acting</dt><dd>{duration(act ?? null)}</dd></div>
        <div><dt>environment</dt><dd>{duration(environment ?? null)}</dd></div>
      </dl>
      {turn.credits.length > 1 && (
        <section>
          <h3>Credit by all learners</h3>
          <table class="credits"><tbody>{turn.credits.map((credit) => (
            <tr key={creditName(credit)}>
              <th scope="row">{creditName(credit)}</th>
              <td class={`right ${creditClass(credit.advantage)}`}>{signed(credit.advantage)}</td>
              <td class="right quiet">{credit.value === null ? "" : `V ${number(credit.value)}`}</td>
            </tr>
          ))}</tbody></table>
        </section>
      )}
      {verdicts.length > 0 && (
        <section>
          <h3>Verdicts on this turn</h3>
          <ul class="verdicts">{verdicts.map((verdict, index) => (
            <li key={index}><RewardMark reward={verdict.reward} /> <strong>{verdict.judge}</strong> {verdict.reason}</li>
          ))}</ul>
        </section>
      )}
      <LabelControl run={run} trace={trace} turn={turn.index} onLabel={onLabel} />
      <TokenStrip tokens={turn.tokens} />
      <details><summary>Everything recorded</summary><JsonView value={{ call: turn.action.call as unknown as Json, stop: turn.action.stop, info: turn.info }} /></details>
    </article>
  );
}
