// Runs against each other: success paired by task, curves together.
import { Charts } from "../components/Chart";
import { Waiting } from "../components/basic";
import { percent } from "../format";
import { href, replaceQuery } from "../router";
import { useData } from "../source/source";
import type { LivePageProps, Pairing } from "../types_live";
import { RunsTable } from "./Runs";

export function ComparePage({ query }: LivePageProps) {
  const runs = names(query.get("runs"));
  if (runs.length < 2) return <ChooseRuns chosen={runs} />;
  return <Comparing runs={runs} />;
}

function Comparing({ runs }: { runs: string[] }) {
  const { data, error } = useData(`compare ${runs.join(" ")}`, null, (source) => source.compare(runs, {}));
  if (!data) return <Waiting error={error} />;
  return (
    <div class="compare-page">
      <h1>{runs.join(" against ")}</h1>
      <RunsTable runs={data.runs} />
      {data.notes.map((note) => <p key={note} class="quiet">{note}</p>)}
      {data.pairs.map((pair) => <PairView key={pair.second} pair={pair} />)}
      <h2>Curves</h2>
      <Charts series={data.series} />
      <p><a href="#/compare">Choose other runs</a></p>
    </div>
  );
}

function PairView({ pair }: { pair: Pairing }) {
  const clear = pair.low > 0 || pair.high < 0;
  return (
    <section class="pair">
      <h2>{pair.second} against {pair.first}</h2>
      <p class="difference">
        <strong>{pair.difference > 0 ? "+" : ""}{percent(pair.difference)} points</strong> of success{" "}
        <span class="quiet">(95 % interval {percent(pair.low)} to {percent(pair.high)}; {pair.tasks} tasks, paired bootstrap)</span>
      </p>
      <DifferenceScale pair={pair} />
      <p>
        {percent(pair.first_success)} % → {percent(pair.second_success)} %. Better on {pair.wins} tasks, worse on {pair.losses}, equal on {pair.ties}.{" "}
        {clear ? "The interval leaves out zero." : "The interval holds zero: this may be chance."}
      </p>
      {pair.examples.length > 0 && (
        <details>
          <summary>Tasks that differ most</summary>
          <ul class="plain-list">
            {pair.examples.map((example) => (
              <li key={example.task}>
                <span class="number">{percent(example.first)} % → {percent(example.second)} %</span>{" "}
                <a href={href(["side"], { run: pair.first, other: pair.second, a: example.a, b: example.b })}>{example.instruction || example.task}</a>
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

/** The difference and its interval around zero. */
function DifferenceScale({ pair }: { pair: Pairing }) {
  const x = (value: number) => 160 + 156 * Math.max(-1, Math.min(1, value));
  return (
    <svg class="whisker wide" viewBox="0 0 320 30" width="320" height="30" aria-hidden="true">
      <line class="track" x1="4" x2="316" y1="9" y2="9" />
      <line class="zero" x1="160" x2="160" y1="1" y2="17" />
      <line class="bar" x1={x(pair.low)} x2={x(pair.high)} y1="9" y2="9" />
      <circle class="dot" cx={x(pair.difference)} cy="9" r="4" />
      <text class="tick" x="4" y="28">−100</text><text class="tick" x="160" y="28" text-anchor="middle">0</text><text class="tick" x="316" y="28" text-anchor="end">+100</text>
    </svg>
  );
}

function ChooseRuns({ chosen }: { chosen: string[] }) {
  const { data, error } = useData("runs", null, (source) => source.runs());
  if (!data) return <Waiting error={error} />;
  const toggle = (name: string) => {
    const next = chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name];
    replaceQuery({ runs: JSON.stringify(next) });
  };
  return (
    <div>
      <h1>Compare</h1>
      <p class="quiet">Choose two runs or more. The first one is what the others are compared with.</p>
      <RunsTable runs={data.runs} chosen={chosen} toggle={toggle} />
    </div>
  );
}

/** Names of runs may hold any character, so they stand in the address as JSON. */
function names(text: string | null): string[] {
  try {
    const value: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(value) ? value.filter((name): name is string => typeof name === "string") : [];
  } catch {
    return [];
  }
}
