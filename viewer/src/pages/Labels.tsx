// How far a judge can be trusted: against people's labels and against the oracle; and what to label next.
import { TraceTable, judgesOf } from "../components/TraceTable";
import { RateCell, RewardMark, Waiting } from "../components/basic";
import { ago } from "../format";
import { href, tracePath } from "../router";
import { useData } from "../source/source";
import type { JudgeScore, LivePageProps } from "../types_live";

export function LabelsPage({ run }: LivePageProps) {
  const { data, error } = useData(`labels ${run}`, run, (source) => source.labels(run));
  if (!data) return <Waiting error={error} />;
  const groups: [string, string, JudgeScore[]][] = [
    ["Judges against people", "Label some traces (right or wrong, on the page of a trace), and this table says how far each judge agrees.", data.scores.filter((score) => score.against === "people" && score.about === "trace")],
    ["Judges against people, turn by turn", "", data.scores.filter((score) => score.against === "people" && score.about === "turn")],
    ["Judges against the oracle", "No trace has both a judge's verdict and the oracle's.", data.scores.filter((score) => score.against === "oracle")],
  ];
  return (
    <div class="labels-page">
      <h1>Labels</h1>
      <p class="quiet">A label says what a person found: the agent did what was asked, or it did not. Precision: of what the judge called a success, how much was one. Recall: of the successes, how many the judge saw.</p>
      {groups.map(([title, empty, scores]) => <Scores key={title} title={title} empty={empty} scores={scores} />)}
      {data.suggestions.length > 0 && (
        <section>
          <h2>Worth a label: a judge and the oracle disagree</h2>
          <TraceTable run={run} rows={data.suggestions} judges={judgesOf(data.suggestions)} />
        </section>
      )}
      {data.labels.length > 0 && (
        <section>
          <h2>{data.labels.length} labels</h2>
          <ul class="plain-list">
            {[...data.labels].reverse().slice(0, 200).map((label, index) => (
              <li key={index}>
                <RewardMark reward={label.correct ? 1 : 0} />{" "}
                <a href={href(tracePath(run, label.trace_id), { turn: label.turn === null ? "" : label.turn + 1 })}>{label.trace_id}{label.turn === null ? "" : `, turn ${label.turn + 1}`}</a>{" "}
                {label.note} <span class="quiet">{ago(label.created_at)}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function Scores({ title, empty, scores }: { title: string; empty: string; scores: JudgeScore[] }) {
  const known = scores.filter((score) => score.n > 0);
  if (!known.length) return empty ? <section><h2>{title}</h2><p class="notice">{empty}</p></section> : null;
  return (
    <section>
      <h2>{title}</h2>
      <div class="table-scroll" tabIndex={0} role="region" aria-label={title}>
        <table>
          <thead>
            <tr>
              <th scope="col">judge</th><th scope="col" class="right">compared</th><th scope="col">precision (95 %)</th><th scope="col">recall (95 %)</th><th scope="col">agrees (95 %)</th>
              <th scope="col" class="right" title="judge said yes, and it was so">yes, right</th><th scope="col" class="right" title="judge said yes, and it was not so">yes, wrong</th>
              <th scope="col" class="right">no, right</th><th scope="col" class="right">no, wrong</th>
            </tr>
          </thead>
          <tbody>
            {known.map((score) => (
              <tr key={score.judge}>
                <th scope="row">{score.judge}</th><td class="right">{score.n}</td>
                <td><RateCell rate={score.precision} /></td><td><RateCell rate={score.recall} /></td><td><RateCell rate={score.accuracy} /></td>
                <td class="right">{score.true_positive}</td><td class="right">{score.false_positive}</td><td class="right">{score.true_negative}</td><td class="right">{score.false_negative}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
