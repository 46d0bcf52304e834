// The pages that need a server, by their address.
import type { FunctionComponent } from "preact";
import type { LivePageProps } from "../types_live";
import { ComparePage } from "./Compare";
import { LabelsPage } from "./Labels";
import { ResultsPage } from "./Results";
import { RunsPage } from "./Runs";
import { TasksPage } from "./Tasks";
import { TracesPage } from "./Traces";

type Pages = { [path: string]: FunctionComponent<LivePageProps> | undefined };

export const LIVE_PAGES: { top: Pages; run: Pages } = {
  top: { "": RunsPage, compare: ComparePage, results: ResultsPage },
  run: { traces: TracesPage, tasks: TasksPage, labels: LabelsPage },
};
