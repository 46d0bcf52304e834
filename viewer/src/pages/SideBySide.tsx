// Two traces of one task, turn by turn. Both move together; each can also be clicked on its own.
import { useState } from "preact/hooks";
import { OutcomeBadge, Waiting } from "../components/basic";
import { Filmstrip } from "../components/Filmstrip";
import { useKeys } from "../components/hooks";
import { href, tracePath } from "../router";
import { useData } from "../source/source";
import type { TracePage } from "../types";
import { TurnView } from "./TracePage";

export function SideBySide({ query }: { query: URLSearchParams }) {
  const [runA, runB] = [query.get("run") ?? "", query.get("other") ?? query.get("run") ?? ""];
  const [a, b] = [query.get("a") ?? "", query.get("b") ?? ""];
  const first = useData(`trace ${runA} ${a}`, runA, (source) => source.trace(runA, a));
  const second = useData(`trace ${runB} ${b}`, runB, (source) => source.trace(runB, b));
  const [turns, setTurns] = useState<[number, number]>([0, 0]);
  const move = (step: number) => setTurns(([x, y]) => [clamp(first.data, x + step), clamp(second.data, y + step)]);
  useKeys({ ArrowLeft: () => move(-1), ArrowRight: () => move(1), k: () => move(-1), j: () => move(1), Home: () => setTurns([0, 0]) });
  const columns = [
    { run: runA, id: a, loaded: first, at: turns[0], select: (index: number) => setTurns([clamp(first.data, index), turns[1]]) },
    { run: runB, id: b, loaded: second, at: turns[1], select: (index: number) => setTurns([turns[0], clamp(second.data, index)]) },
  ];
  return (
    <div class="side-by-side">
      <h1>{first.data?.task.instruction ?? "Side by side"}</h1>
      {first.data && second.data && first.data.task.id !== second.data.task.id && <p class="notice">These are traces of two different tasks.</p>}
      <div class="columns">
        {columns.map(({ run, id, loaded, at, select }, index) => (
          <section key={index} aria-label={`Trace ${id}`}>
            {!loaded.data ? <Waiting error={loaded.error} /> : (
              <>
                <p class="column-head">
                  <OutcomeBadge outcome={loaded.data.row.outcome} /> <a href={href(tracePath(run, id), { turn: at + 1 })}>{id}</a>{" "}
                  <span class="quiet">{loaded.data.row.policy}{runA === runB ? "" : ` · ${run}`}</span>
                </p>
                <Filmstrip run={run} trace={loaded.data} current={at} select={select} />
                <TurnView run={run} trace={loaded.data} current={at} select={select} reload={loaded.reload} />
              </>
            )}
          </section>
        ))}
      </div>
    </div>
  );
}

function clamp(trace: TracePage | null, index: number): number {
  if (!trace) return 0;
  return Math.max(0, Math.min(trace.turns.length - 1 + (trace.final ? 1 : 0), index));
}
