// All runs: what each is, how it goes, how well the agent does. Choose several to compare them.
import { useState } from "preact/hooks";
import { RateCell, Waiting } from "../components/basic";
import { ago, count, duration, number } from "../format";
import { go, href } from "../router";
import { useData } from "../source/source";
import type { RunRow } from "../types";

export function RunsPage() {
  const { data, error } = useData("runs", null, (source) => source.runs());
  const [chosen, setChosen] = useState<string[]>([]);
  if (!data) return <Waiting error={error} />;
  if (!data.runs.length) {
    return <p class="notice">There are no runs{data.root && ` in ${data.root}/`} yet. Start one with <code>turnsmith demo</code> or <code>turnsmith run RECIPE</code>; it appears here.</p>;
  }
  const toggle = (name: string) => setChosen(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]);
  const there = chosen.filter((name) => data.runs.some((run) => run.name === name));
  return (
    <div class="runs-page">
      <div class="list-head">
        <h1>Runs</h1>
        <button type="button" disabled={there.length < 2} onClick={() => go(href(["compare"], { runs: JSON.stringify(there) }))}>
          Compare {there.length > 1 ? `${there.length} runs` : "chosen runs"}
        </button>
      </div>
      <RunsTable runs={data.runs} chosen={chosen} toggle={toggle} />
    </div>
  );
}

export function RunsTable({ runs, chosen, toggle }: { runs: RunRow[]; chosen?: string[]; toggle?: (name: string) => void }) {
  return (
    <div class="table-scroll full" tabIndex={0} role="region" aria-label="Runs">
      <table>
        <thead>
          <tr>
            {toggle && <th scope="col"><span class="sr-only">compare</span></th>}
            <th scope="col">run</th><th scope="col">status</th><th scope="col">success (95 %)</th><th scope="col">recipe</th><th scope="col" class="right">seed</th>
            <th scope="col" class="right">iteration</th><th scope="col" class="right">traces</th>
            <th scope="col" class="right">infra errors</th><th scope="col" class="right">steps/s</th><th scope="col" class="right">time left</th><th scope="col" class="right">changed</th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.name}>
              {toggle && <td><input type="checkbox" aria-label={`Compare ${run.name}`} checked={chosen?.includes(run.name)} onChange={() => toggle(run.name)} /></td>}
              <td><a href={href(["run", run.name])}>{run.name}</a>{run.problems.length > 0 && <span class="chip warn" title={run.problems.join("\n")}>partly unreadable</span>}</td>
              <td><span class={`status status-${run.status === "running" ? "running" : "other"}`}>{run.status}</span></td>
              <td><RateCell rate={run.success} /></td>
              <td>{run.recipe}{run.preset && <span class="quiet"> {run.preset}</span>}</td>
              <td class="right">{run.seed ?? "–"}</td>
              <td class="right">{run.iteration === null ? "–" : run.iteration}{run.iterations !== null && <span class="quiet"> of {run.iterations}</span>}</td>
              <td class="right">{count(run.traces)}</td>
              <td class="right">{count(run.infra_errors)}</td>
              <td class="right">{number(run.steps_per_s, 1)}</td>
              <td class="right">{run.seconds_left === null ? "–" : duration(run.seconds_left)}</td>
              <td class="right">{ago(run.updated)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
