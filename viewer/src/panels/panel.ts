// A panel shows a turn the way its environment is best seen: a browser page, a phone, threads of text. To add one, write
// a file like `text.tsx` that exports a `Panel` and name it in `index.ts`. docs/viewer.md walks through it.
import type { FunctionComponent } from "preact";
import type { Observation, TracePage, Turn } from "../types";

export interface PanelProps {
  run: string;
  trace: TracePage;
  /** The turn that is looked at; null after the last one, when `observation` is the final one. */
  turn: Turn | null;
  observation: Observation;
  /** Look at another turn. */
  select: (index: number) => void;
}

export interface Panel {
  name: string;
  /** Whether this panel is meant for the trace. The first panel of the list that fits is used. */
  fits: (trace: TracePage) => boolean;
  Stage: FunctionComponent<PanelProps>;
}
