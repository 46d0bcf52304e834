// A run at a glance: its figures, its curves, traces to begin with. It is also the first page of report.html.
import { Problems, RateCell, Waiting, JsonView } from "../components/basic";
import { Charts } from "../components/Chart";
import { TraceTable, judgesOf } from "../components/TraceTable";
import { ago, count, duration, figure as digits, number, percent, words } from "../format";
import { href } from "../router";
import { useData, useSource } from "../source/source";
import type { Evaluation, Figure, RunRow } from "../types";

export function Overview({ run }: { run: string }) {
  const source = useSource();
  const { data, error } = useData(`overview ${run}`, run, (from) => from.overview(run));
  if (!data) return <Waiting error={error} />;
  return (
    <div class="overview">
      <header>
        <h1>{data.run.recipe ? words(data.run.recipe) : run}</h1>
        <StatusLine run={data.run} live={source.live} />
      </header>
      <Problems problems={data.run.problems} />
      {data.summary.length > 0 && <SummaryTable figures={data.summary} />}
      {data.evaluations.length > 0 && <Evaluations evaluations={data.evaluations} />}
      {data.series.length > 0 && <section><h2>Curves</h2><Charts series={data.series} /></section>}
      {data.picks.length > 0 && (
        <section>
          <h2>{source.live ? "Last traces" : `${data.picks.length} traces to look at`}</h2>
          <TraceTable run={run} rows={data.picks} judges={judgesOf(data.picks)} />
          {source.live && <p><a href={href(["run", run, "traces"])}>All {count(data.run.traces)} traces</a></p>}
        </section>
      )}
      {Object.keys(data.config).length > 0 && <details><summary>Configuration</summary><JsonView value={data.config} /></details>}
    </div>
  );
}

function StatusLine({ run, live }: { run: RunRow; live: boolean }) {
  const parts = [
    run.name, run.preset, run.seed === null ? "" : `seed ${run.seed}`, run.status,
    `${count(run.traces)} traces`, `${count(run.infra_errors)} infra errors`,
    run.steps_per_s === null ? "" : `${number(run.steps_per_s, 1)} steps/s`,
    live && run.seconds_left !== null && run.status === "running" ? `about ${duration(run.seconds_left)} left` : "",
    live ? `changed ${ago(run.updated)}` : "",
  ];
  return <p class="quiet status-line">{parts.filter(Boolean).join(" · ")}</p>;
}

function SummaryTable({ figures }: { figures: Figure[] }) {
  const percent = figures.filter((figure) => figure.unit === "%");
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="Figures">
      <table class="summary">
        <thead><tr><th scope="col">figure</th><th scope="col" class="right">value</th><th scope="col">95 % interval</th>{percent.length > 0 && <th scope="col"><span class="sr-only">on a scale</span></th>}</tr></thead>
        <tbody>
          {figures.map((figure) => (
            <tr key={figure.name}>
              <th scope="row">{figure.name}</th>
              <td class="right value">{digits(figure.value)} <span class="unit">{figure.unit}</span></td>
              <td class="quiet">{figure.low === null || figure.high === null ? "" : `${digits(figure.low)} to ${digits(figure.high)}`}</td>
              {percent.length > 0 && <td>{figure.unit === "%" && figure.value !== null && <Scale figure={figure} />}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Every evaluation, or of many the first and the last ones. */
function Evaluations({ evaluations }: { evaluations: Evaluation[] }) {
  const shown = evaluations.length <= 12 ? evaluations : [...evaluations.slice(0, 3), ...evaluations.slice(-8)];
  return (
    <section>
      <h2>Evaluations{shown.length < evaluations.length && <span class="quiet"> · {shown.length} of {evaluations.length}</span>}</h2>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Evaluations">
        <table>
          <thead>
            <tr>
              <th scope="col">phase</th><th scope="col" class="right">iteration</th><th scope="col">success (95 %)</th><th scope="col" class="right">episodes</th>
              <th scope="col" class="right">mean steps</th><th scope="col" class="right">out of steps</th><th scope="col" class="right">infra errors</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((one) => (
              <tr key={`${one.phase} ${one.iteration}`}>
                <td>{one.phase}</td><td class="right">{one.iteration}</td><td><RateCell rate={one.success} interval /></td><td class="right">{count(one.episodes)}</td>
                <td class="right">{number(one.steps, 1)}</td><td class="right">{percent(one.truncated)} %</td><td class="right">{count(one.infra_errors)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** The interval on a scale from 0 to 100 %, wide enough to compare rows by eye. */
function Scale({ figure }: { figure: Figure }) {
  const [low, high] = [figure.low ?? figure.value!, figure.high ?? figure.value!];
  return (
    <svg class="whisker wide" viewBox="0 0 204 14" width="204" height="14" aria-hidden="true">
      <line class="track" x1="2" x2="202" y1="7" y2="7" />
      <line class="bar" x1={2 + 2 * low} x2={2 + 2 * high} y1="7" y2="7" />
      <circle class="dot" cx={2 + 2 * figure.value!} cy="7" r="4" />
    </svg>
  );
}
