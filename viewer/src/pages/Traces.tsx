// All traces of a run: filtered, sorted, a window at a time.
import { useEffect } from "preact/hooks";
import { Choice, FilterBar, Pager, TextFilter } from "../components/Filters";
import { TraceTable } from "../components/TraceTable";
import { Waiting } from "../components/basic";
import { useKeys } from "../components/hooks";
import { percent, words } from "../format";
import { replaceQuery } from "../router";
import { useData } from "../source/source";
import type { LivePageProps } from "../types_live";

const LIMIT = 100;
const SORTS: [string, string][] = [
  ["newest", "newest first"], ["oldest", "oldest first"], ["surprise", "most surprising"],
  ["value_error", "largest value error"], ["longest", "longest"], ["shortest", "shortest"],
];

export function TracesPage({ run, query }: LivePageProps) {
  const offset = Number(query.get("offset") ?? 0) || 0;
  const asked = { ...Object.fromEntries(query), limit: String(LIMIT) };
  const { data, error, reload } = useData(`traces ${run} ${query}`, run, (source) => source.traces(run, asked));
  useEffect(() => { // surprise is computed in the background: ask again until it is there
    if (!data || data.surprise_ready >= 1) return;
    const timer = setTimeout(reload, 400);
    return () => clearTimeout(timer);
  }, [data]);
  useKeys({
    n: () => data && offset + LIMIT < data.total && replaceQuery({ offset: offset + LIMIT }),
    p: () => offset > 0 && replaceQuery({ offset: Math.max(0, offset - LIMIT) }),
  });
  const facets = data?.facets ?? {};
  const facet = (name: string) => facets[name] ?? [];
  return (
    <div class="traces-page">
      <h1>Traces</h1>
      <FilterBar label="Filter traces">
        <TextFilter name="task" label="task" query={query} />
        <Choice name="outcome" label="outcome" query={query} choices={["success", "failure", "truncated", "unjudged", "infra_error"].map((one) => [one, words(one).toLowerCase()])} />
        <Choice name="site" label="site" query={query} choices={facet("site")} />
        <Choice name="phase" label="phase" query={query} choices={facet("phase")} />
        <Choice name="iteration" label="iteration" query={query} choices={facet("iteration")} />
        <Choice name="split" label="split" query={query} choices={facet("split")} />
        <TextFilter name="min_turns" label="turns from" query={query} numeric />
        <TextFilter name="max_turns" label="to" query={query} numeric />
        {facet("judges").length > 0 && (
          <Choice name="disagree" label="against the oracle" query={query}
            choices={[["any", "any judge disagrees"], ...facet("judges").map((judge): [string, string] => [judge, `${judge} disagrees`])]} />
        )}
        <Choice name="labelled" label="labels" query={query} choices={[["yes", "labelled"], ["no", "not labelled"]]} />
        <Choice name="sort" label="order" query={query} choices={SORTS.slice(1)} any={SORTS[0]![1]} />
      </FilterBar>
      {!data ? <Waiting error={error} /> : (
        <>
          <div class="list-head">
            <Pager offset={data.offset} limit={LIMIT} shown={data.rows.length} total={data.total} />
            {query.get("sort") === "surprise" && data.surprise_ready < 1 && (
              <p class="quiet" role="status">Surprise is known for {percent(data.surprise_ready)} % of the traces; the rest follows.</p>
            )}
          </div>
          {data.total > 0 ? <TraceTable run={run} rows={data.rows} judges={facet("judges")} offset={data.offset} total={data.total} />
            : <p class="notice">No trace matches.</p>}
        </>
      )}
    </div>
  );
}
