// Rows of traces, the same in the list, on the overview and beside a task.
import type { TraceRow } from "../types";
import { number } from "../format";
import { href, tracePath } from "../router";
import { OutcomeBadge, RewardMark } from "./basic";

export function TraceTable({ run, rows, judges = [], offset = 0, total }: {
  run: string;
  rows: TraceRow[];
  judges?: string[];
  offset?: number;
  total?: number;
}) {
  const grouped = rows.some((row) => row.group);
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="Traces">
      <table class="traces" aria-rowcount={total === undefined ? undefined : total + 1}>
        <thead>
          <tr>
            {grouped && <th scope="col">when</th>}
            <th scope="col">outcome</th>
            <th scope="col" class="wide">task</th>
            <th scope="col">site</th>
            <th scope="col" class="right">turns</th>
            <th scope="col" class="right">iteration</th>
            <th scope="col">phase</th>
            {["oracle", ...judges].map((judge) => <th scope="col" key={judge} class="center">{judge}</th>)}
            <th scope="col" class="right" title="mean negative log-probability of the sampled tokens, in nats">surprise</th>
            <th scope="col" class="right" title="|reward − V(first state)|">value error</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={row.id} aria-rowindex={offset + index + 2}>
              {grouped && <td>{row.group}</td>}
              <td><OutcomeBadge outcome={row.outcome} /></td>
              <td class="wide">
                <a href={href(tracePath(run, row.id))} title={row.instruction}>{row.instruction || row.task || row.id}</a>
                {row.labels > 0 && <span class="chip" title={`${row.labels} labels by people`}>labelled</span>}
              </td>
              <td>{row.site || row.environment}</td>
              <td class="right">{row.turns}</td>
              <td class="right">{row.iteration ?? "–"}</td>
              <td>{row.phase || "–"}</td>
              {["oracle", ...judges].map((judge) => {
                const reward = row.verdicts[judge];
                return <td key={judge} class="center">{reward === undefined ? <span class="quiet">–</span> : <RewardMark reward={reward} />}</td>;
              })}
              <td class="right">{number(row.surprise)}</td>
              <td class="right">{number(row.value_error)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The judges that appear in these rows, the oracle aside. */
export function judgesOf(rows: TraceRow[]): string[] {
  return [...new Set(rows.flatMap((row) => Object.keys(row.verdicts)))].filter((judge) => judge !== "oracle").sort();
}
