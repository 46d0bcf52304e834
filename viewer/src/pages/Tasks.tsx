// The tasks of a run: where each came from, whether a filter left it out, and success on it over time.
import { Choice, FilterBar, Pager, TextFilter } from "../components/Filters";
import { JsonView, RateCell, Waiting } from "../components/basic";
import { count } from "../format";
import { href } from "../router";
import { useData } from "../source/source";
import type { LivePageProps, TaskList, TaskRow } from "../types_live";

const LIMIT = 100;

export function TasksPage({ run, query }: LivePageProps) {
  const asked = { ...Object.fromEntries(query), limit: String(LIMIT) };
  const { data, error } = useData(`tasks ${run} ${query}`, run, (source) => source.tasks(run, asked));
  return (
    <div class="tasks-page">
      <h1>Tasks</h1>
      <FilterBar label="Filter tasks">
        <TextFilter name="task" label="task" query={query} />
        <Choice name="site" label="site" query={query} choices={data?.facets.site ?? []} />
        <Choice name="stage" label="stage" query={query} choices={data?.facets.stage ?? []} />
        <Choice name="state" label="state" query={query} choices={[["tried", "tried"], ["untried", "never tried"], ["rejected", "rejected"]]} />
        <Choice name="sort" label="order" query={query} any="last tried first" choices={[["hardest", "hardest first"], ["easiest", "easiest first"], ["most", "most tried first"]]} />
      </FilterBar>
      {!data ? <Waiting error={error} /> : <TasksContent run={run} data={data} />}
    </div>
  );
}

function TasksContent({ run, data }: { run: string; data: TaskList }) {
  const { stages, rejections } = data;
  return (
    <>
      <Counts title="Stages" counts={stages} />
      <Counts title="Left out because" counts={rejections} />
      <Pager offset={data.offset} limit={LIMIT} shown={data.rows.length} total={data.total} />
      {data.total === 0 ? <p class="notice">No task matches.</p> : (
        <div class="table-scroll full" tabIndex={0} role="region" aria-label="Tasks">
          <table class="tasks">
            <thead>
              <tr>
                <th scope="col" class="wide">task</th><th scope="col">site</th><th scope="col">split</th><th scope="col">came from</th>
                <th scope="col" class="right">tries</th><th scope="col">success (95 %)</th><th scope="col">over iterations</th>
              </tr>
            </thead>
            <tbody>{data.rows.map((task) => <TaskLine key={task.id} run={run} task={task} iterations={data.iterations} />)}</tbody>
          </table>
        </div>
      )}
    </>
  );
}

function TaskLine({ run, task, iterations }: { run: string; task: TaskRow; iterations: number[] }) {
  const name = task.instruction || task.id;
  return (
    <tr class={task.rejected ? "rejected" : ""}>
      <td class="wide" title={name}>
        {task.attempts > 0 ? <a href={href(["run", run, "traces"], { task: task.id })}>{name}</a> : name}
        {task.rejected && <p class="reason">Left out: {task.rejected}</p>}
      </td>
      <td>{task.site || task.environment}</td>
      <td>{task.split}</td>
      <td class="provenance">
        {Object.keys(task.provenance).length === 0 ? <span class="quiet">–</span> : (
          <details><summary>{origin(task)}</summary><JsonView value={task.provenance} /></details>
        )}
      </td>
      <td class="right">{count(task.attempts)}</td>
      <td><RateCell rate={task.success} /></td>
      <td><History task={task} iterations={iterations} /></td>
    </tr>
  );
}

/** In a word: the template, or who proposed it, and how far it came. */
function origin(task: TaskRow): string {
  const { template, proposer, file } = task.provenance;
  const source = template ?? proposer ?? file;
  return [source === undefined || source === null ? "" : String(source), task.stage].filter(Boolean).join(", ") || "details";
}

/** A cell an iteration: empty where the task was not tried, else from failure to success. */
function History({ task, iterations }: { task: TaskRow; iterations: number[] }) {
  const shown = iterations.slice(-24);
  if (!shown.length || !task.history.length) return <span class="quiet">–</span>;
  const by = new Map(task.history.map(([iteration, won, n]) => [iteration, [won, n] as const]));
  const words = task.history.map(([iteration, won, n]) => `iteration ${iteration}: ${won} of ${n}`).join("; ");
  return (
    <svg class="history" width={shown.length * 13} height="14" role="img" aria-label={words}>
      <title>{words}</title>
      {shown.map((iteration, index) => {
        const found = by.get(iteration);
        const level = found ? Math.round((4 * found[0]) / found[1]) : -1;
        return <rect key={iteration} class={`success-${level < 0 ? "none" : level}`} x={index * 13 + 0.5} y="1.5" width="11" height="11" rx="2" />;
      })}
    </svg>
  );
}

function Counts({ title, counts }: { title: string; counts: { [name: string]: number } }) {
  const entries = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  if (!entries.length) return null;
  const most = entries[0]![1];
  return (
    <section class="counts" aria-label={title}>
      <h2>{title}</h2>
      <ul>
        {entries.map(([name, n]) => (
          <li key={name}><span class="count-name">{name}</span> <svg width="120" height="9" aria-hidden="true"><rect width={Math.max(1, (120 * n) / most)} height="9" rx="2" /></svg> {count(n)}</li>
        ))}
      </ul>
    </section>
  );
}
