// Where the pages get their data: from the server (`turnsmith view`), or from the file itself (report.html). Pages know
// only this interface; `live` says which pages there are.
import { createContext } from "preact";
import { useContext, useEffect, useRef, useState } from "preact/hooks";
import type { Label, Overview, TraceList, TracePage } from "../types";
import type { Comparison, LabelPage, ResultsPage, RunsPage, TaskList } from "../types_live";

export interface Source {
  /** Served and changing, or a file that holds one run. */
  live: boolean;
  /** In a file: the name of its run. */
  only: string | null;
  overview(run: string): Promise<Overview>;
  traces(run: string, query: { [key: string]: string }): Promise<TraceList>;
  trace(run: string, id: string): Promise<TracePage>;
  /** A URL that an <img> can show; `small` gives a copy of at most 256 pixels. */
  image(run: string, digest: string, small: boolean): Promise<string>;
  runs(): Promise<RunsPage>;
  tasks(run: string, query: { [key: string]: string }): Promise<TaskList>;
  compare(runs: string[], query: { [key: string]: string }): Promise<Comparison>;
  labels(run: string): Promise<LabelPage>;
  results(): Promise<ResultsPage>;
  addLabel(run: string, label: Omit<Label, "created_at">): Promise<Label[]>;
  /** Call back whenever this run (or, with null, any run) changes; returns how to stop that. */
  onChange(run: string | null, listener: () => void): () => void;
}

export const SourceContext = createContext<Source>(null as unknown as Source);
export const useSource = () => useContext(SourceContext);

export interface Loaded<T> {
  data: T | null;
  error: string;
  reload: () => void;
}

/**
 * Load data, again whenever `key` or the run changes. Old data stay until new ones are there, so a live page never
 * flickers; data of another key are dropped at once.
 */
export function useData<T>(key: string, run: string | null, load: (source: Source) => Promise<T>): Loaded<T> {
  const source = useSource();
  const [state, setState] = useState<{ key: string; data: T | null; error: string }>({ key, data: null, error: "" });
  const latest = useRef(0);
  const loader = useRef(load);
  loader.current = load;

  const reload = () => {
    const ticket = ++latest.current;
    loader.current(source).then(
      (data) => ticket === latest.current && setState({ key, data, error: "" }),
      (error: Error) =>
        ticket === latest.current &&
        setState((old) => ({ key, data: old.key === key ? old.data : null, error: error.message })),
    );
  };
  useEffect(() => {
    reload();
    return source.onChange(run, reload);
  }, [key, run, source]);
  return state.key === key ? { ...state, reload } : { data: null, error: "", reload };
}
