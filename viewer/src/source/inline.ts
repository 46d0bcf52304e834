// The data of report.html: everything stands in one <script type="application/json"> of the page.
import type { Overview, TraceList, TracePage, TraceRow } from "../types";
import type { Source } from "./source";

interface Inlined {
  name: string;
  overview: Overview;
  traces: { [id: string]: TracePage };
  images: { [digest: string]: { whole: string; small: string } };
}

export function inlineSource(text: string): Source {
  const data = JSON.parse(text) as Inlined;
  const none = () => Promise.reject(new Error("A report holds one run. This page needs `turnsmith view`."));
  return {
    live: false,
    only: data.name,
    overview: async () => data.overview,
    traces: async (_, query) => list(data.overview.picks, query),
    trace: async (_, id) => {
      const trace = Object.hasOwn(data.traces, id) ? data.traces[id] : undefined;
      if (!trace) throw new Error(`Trace ${id} is not in this report.`);
      return trace;
    },
    image: async (_, digest, small) => {
      const image = Object.hasOwn(data.images, digest) ? data.images[digest] : undefined;
      if (!image) throw new Error("This image is not in the report.");
      return small ? image.small : image.whole;
    },
    runs: none,
    tasks: none,
    compare: none,
    labels: none,
    results: none,
    addLabel: none,
    onChange: () => () => {},
  };
}

/** The few filters that make sense for ten traces. */
function list(rows: TraceRow[], query: { [key: string]: string }): TraceList {
  const kept = rows.filter((row) => !query.outcome || row.outcome === query.outcome);
  return { total: kept.length, offset: 0, rows: kept, facets: {}, surprise_ready: 1 };
}
