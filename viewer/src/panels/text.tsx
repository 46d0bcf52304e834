// Any environment of words: what the agent read, as it read it.
import type { Panel, PanelProps } from "./panel";

function Stage({ observation }: PanelProps) {
  return <pre class="observation-text" tabIndex={0}>{observation.text || "No text on this turn."}</pre>;
}

export const text: Panel = { name: "text", fits: () => true, Stage };
