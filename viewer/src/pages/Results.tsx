// The recorded claims: what the paper says, what was measured here, and whether the goal holds.
import { Waiting } from "../components/basic";
import { number, words } from "../format";
import { useData } from "../source/source";
import type { Claim } from "../types_live";

export function ResultsPage() {
  const { data, error } = useData("results", null, (source) => source.results());
  if (!data) return <Waiting error={error} />;
  if (!data.files.length) return <p class="notice">There are no recorded results in {data.folder}/. Recipes and benchmarks write them at their end.</p>;
  const claims = data.files.flatMap((file) => file.claims);
  const judged = claims.filter((claim) => claim.holds !== null && claim.holds !== undefined);
  return (
    <div class="results-page">
      <h1>Results</h1>
      <p class="quiet">{claims.length} figures; {judged.filter((claim) => claim.holds).length} of {judged.length} goals hold. Drawn: <span aria-hidden="true">●</span> ours with its interval, <span aria-hidden="true">│</span> the goal, <span aria-hidden="true">◆</span> the paper.</p>
      {data.files.map((file) => (
        <section key={file.name}>
          <h2>{words(file.name)}</h2>
          {file.problem && <p class="notice error">{file.problem}</p>}
          {file.claims.length > 0 && <ClaimsTable claims={file.claims} name={file.name} />}
        </section>
      ))}
    </div>
  );
}

function ClaimsTable({ claims, name }: { claims: Claim[]; name: string }) {
  const [first] = claims;
  return (
    <>
      <div class="table-scroll full" tabIndex={0} role="region" aria-label={`Claims of ${name}`}>
        <table class="claims">
          <thead>
            <tr><th scope="col">figure</th><th scope="col" class="wide">claim</th><th scope="col" class="right">paper</th><th scope="col" class="right">ours</th><th scope="col">95 % interval</th><th scope="col"><span class="sr-only">drawn</span></th><th scope="col">goal</th><th scope="col">holds</th></tr>
          </thead>
          <tbody>
            {claims.map((claim) => (
              <tr key={claim.id}>
                <th scope="row"><code>{claim.id}</code></th>
                <td class="wide wrap">{claim.claim}{claim.note && <details><summary>note</summary>{claim.note}</details>}</td>
                <td class="right">{claim.paper || "–"}</td>
                <td class="right value">{number(claim.value)}</td>
                <td class="quiet">{claim.ci95 ? `${number(claim.ci95[0])} to ${number(claim.ci95[1])}` : ""}</td>
                <td><ClaimChart claim={claim} /></td>
                <td><code>{claim.goal}</code></td>
                <td>{claim.holds === null || claim.holds === undefined ? <span class="quiet">record</span> : claim.holds ? <span class="mark good">✓ holds</span> : <span class="mark bad">✕ does not</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {first && <p class="quiet made-by"><code>{first.command}</code> {[first.machine, first.commit, first.date].filter(Boolean).join(" · ")}</p>}
    </>
  );
}

/** Ours with its interval, the goal as a tick, the paper's figure as a diamond, all on one scale. */
function ClaimChart({ claim }: { claim: Claim }) {
  if (claim.value === null || claim.value === undefined) return null;
  const goal = firstNumber(claim.goal), paper = firstNumber(claim.paper);
  const marks = [claim.value, ...(claim.ci95 ?? []), goal, paper].filter((mark): mark is number => mark !== null && Number.isFinite(mark));
  if (marks.length < 2) return null;
  const [low, high] = [Math.min(0, ...marks), Math.max(...marks, 0)];
  const x = (value: number) => 6 + (108 * (value - low)) / (high - low || 1);
  return (
    <svg class="claim-chart whisker" width="120" height="18" role="img" aria-label={`ours ${number(claim.value)}${goal === null ? "" : `, goal ${claim.goal}`}${paper === null ? "" : `, paper ${claim.paper}`}`}>
      <line class="track" x1="4" x2="116" y1="9" y2="9" />
      {claim.ci95 && <line class="bar" x1={x(claim.ci95[0])} x2={x(claim.ci95[1])} y1="9" y2="9" />}
      {goal !== null && <line class="goal" x1={x(goal)} x2={x(goal)} y1="2" y2="16" />}
      {paper !== null && <path class="paper" d={`M${x(paper)} 4 l5 5 l-5 5 l-5 -5 Z`} />}
      <circle class="dot" cx={x(claim.value)} cy="9" r="4" />
    </svg>
  );
}

function firstNumber(text: string | null | undefined): number | null {
  const found = /-?\d+(?:\.\d+)?/.exec(text ?? "");
  return found ? Number(found[0]) : null;
}
