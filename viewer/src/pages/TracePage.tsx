// One trace: what was asked, every turn with its screenshot, action and credit, and what judges said.
import { Guard, OutcomeBadge, Problems, RewardMark, Waiting, JsonView } from "../components/basic";
import { CreditChoice, learnersOf, withCredit } from "../components/Credit";
import { Filmstrip } from "../components/Filmstrip";
import { LabelControl } from "../components/LabelControl";
import { TurnDetails } from "../components/TurnDetails";
import { useKeys } from "../components/hooks";
import { duration, moment, number } from "../format";
import { panelFor } from "../panels";
import { go, href, replaceQuery, tracePath } from "../router";
import { useData, useSource } from "../source/source";
import type { TracePage, TraceRow } from "../types";

export function TraceRoute({ run, id, query }: { run: string; id: string; query: URLSearchParams }) {
  const { data, error, reload } = useData(`trace ${run} ${id}`, run, (source) => source.trace(run, id));
  if (!data) return <Waiting error={error} />;
  return <TraceContent run={run} trace={data} turn={Number(query.get("turn") ?? 1) - 1} credit={query.get("credit")} reload={reload} />;
}

function TraceContent({ run, trace: stored, turn, credit, reload }: {
  run: string; trace: TracePage; turn: number; credit: string | null; reload: () => void;
}) {
  const learners = learnersOf(stored);
  const learner = credit !== null && learners.includes(credit) ? credit : learners[learners.length - 1] ?? "";
  const trace = learner ? withCredit(stored, learner) : stored;
  const last = trace.turns.length - 1 + (trace.final ? 1 : 0);
  const current = Math.max(0, Math.min(last, Number.isFinite(turn) ? turn : 0));
  const select = (index: number) => replaceQuery({ turn: Math.max(0, Math.min(last, index)) + 1 });
  const { previous, next } = neighbours(trace);
  useKeys({
    ArrowLeft: () => select(current - 1),
    ArrowRight: () => select(current + 1),
    j: () => select(current + 1),
    k: () => select(current - 1),
    Home: () => select(0),
    End: () => select(last),
    "[": () => previous && go(href(tracePath(run, previous.id))),
    "]": () => next && go(href(tracePath(run, next.id))),
  });
  return (
    <div class="trace-page">
      <TraceHeader run={run} trace={trace} reload={reload} />
      <Problems problems={trace.problems} />
      {trace.turns.length + (trace.final ? 1 : 0) === 0 ? <p class="notice">This trace has no turns.</p> : (
        <>
          <CreditChoice names={learners} chosen={learner} choose={(name) => replaceQuery({ credit: name })} />
          <Filmstrip run={run} trace={trace} current={current} select={select} />
          <TurnView run={run} trace={trace} current={current} select={select} reload={reload} />
        </>
      )}
      <Background trace={trace} />
      <Attempts run={run} trace={trace} />
      <p class="keys quiet">
        <kbd>←</kbd> <kbd>→</kbd> turn · <kbd>Home</kbd> <kbd>End</kbd> first, last · <kbd>m</kbd> marks · <kbd>[</kbd> <kbd>]</kbd> other attempts at this task
      </p>
    </div>
  );
}

/** The stage and the details of one turn; also used side by side. */
export function TurnView({ run, trace, current, select, reload }: {
  run: string; trace: TracePage; current: number; select: (index: number) => void; reload: () => void;
}) {
  const turn = trace.turns[current] ?? null;
  const observation = turn?.observation ?? trace.final;
  const { name, Stage } = panelFor(trace);
  if (!observation) return null;
  return (
    <div class={`turn-view panel-${name}`}>
      <div class="stage">
        <Guard key={current} what="This turn">
          <Stage run={run} trace={trace} turn={turn} observation={observation} select={select} />
        </Guard>
      </div>
      <div class="side">
        <h2>{turn ? <>Turn {turn.index + 1} <span class="quiet">of {trace.turns.length}</span></> : "After the last action"}</h2>
        {turn ? (
          <Guard key={current} what="This turn"><TurnDetails run={run} trace={trace} turn={turn} onLabel={reload} /></Guard>
        ) : observation.error && <p class="step-error">{observation.error}</p>}
      </div>
    </div>
  );
}

function TraceHeader({ run, trace, reload }: { run: string; trace: TracePage; reload: () => void }) {
  const { row } = trace;
  const seconds = trace.turns.reduce((sum, turn) => sum + (turn.seconds[0] ?? 0) + (turn.seconds[1] ?? 0), 0);
  const whole = trace.verdicts.filter((verdict) => verdict.turn === null);
  const facts: [string, string][] = [
    ["site", row.site || row.environment], ["phase", row.phase], ["iteration", row.iteration === null ? "" : String(row.iteration)],
    ["policy", row.policy], ["seed", String(row.seed)], ["time", duration(seconds)], ["surprise", row.surprise === null ? "" : `${number(row.surprise)} nats`],
    ["began", moment(row.created)],
  ];
  return (
    <header class="trace-header">
      <div class="title-line"><OutcomeBadge outcome={row.outcome} /><h1>{trace.task.instruction || row.id}</h1></div>
      <ul class="verdicts">
        {whole.map((verdict, index) => (
          <li key={index}><RewardMark reward={verdict.reward} /> <strong>{verdict.judge}</strong> {verdict.reason}</li>
        ))}
        {!whole.length && <li class="quiet">No judge has looked at this trace.</li>}
      </ul>
      <LabelControl run={run} trace={trace} turn={null} onLabel={reload} />
      <dl class="facts">
        <div><dt>trace</dt><dd>{row.id}</dd></div>
        {facts.filter(([, value]) => value).map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
    </header>
  );
}

/** Where the task came from, and what was hidden from the agent. */
function Background({ trace }: { trace: TracePage }) {
  const hidden = Object.keys(trace.task.hidden).length > 0;
  return (
    <section class="background">
      {hidden && (
        <details class="hidden-box">
          <summary>Hidden from the agent <span class="quiet">training-time information: goal state, reference answer</span></summary>
          <JsonView value={trace.task.hidden} />
        </details>
      )}
      <details>
        <summary>Task {trace.task.id}</summary>
        <JsonView value={{ params: trace.task.params, provenance: trace.task.provenance, trace: trace.info }} />
      </details>
    </section>
  );
}

function Attempts({ run, trace }: { run: string; trace: TracePage }) {
  const source = useSource();
  if (!trace.attempts.length) return null;
  return (
    <section class="attempts">
      <h2>Other attempts at this task</h2>
      <ul>
        {trace.attempts.map((row) => (
          <li key={row.id}>
            <OutcomeBadge outcome={row.outcome} />{" "}
            <a href={href(tracePath(run, row.id))}>{row.id}</a>{" "}
            <span class="quiet">{row.turns} turns{row.iteration === null ? "" : `, iteration ${row.iteration}`}{row.group ? `, ${row.group}` : ""}</span>{" "}
            <a class="plain" href={href(["side"], sideQuery(run, trace.row.id, row.id))}>side by side</a>
          </li>
        ))}
      </ul>
      {source.live && trace.attempts.length >= 50 && <p class="quiet">The first 50 are shown.</p>}
    </section>
  );
}

export function sideQuery(run: string, first: string, second: string) {
  return { run, a: first, b: second };
}

function neighbours(trace: TracePage): { previous: TraceRow | undefined; next: TraceRow | undefined } {
  return {
    previous: trace.attempts.filter((row) => row.seq < trace.row.seq).at(-1),
    next: trace.attempts.find((row) => row.seq > trace.row.seq),
  };
}
