// A browser page: the screenshot, what was clicked or typed drawn on it, and the elements that the agent could name.
import { useState } from "preact/hooks";
import { Screen, box, elementsOf, position } from "../components/Screen";
import type { Element, Touch } from "../components/Screen";
import { useKeys } from "../components/hooks";
import type { Observation, Turn } from "../types";
import type { Panel, PanelProps } from "./panel";

/** Where on the screen this turn's action went: what the environment recorded, else the box of the named mark. */
export function touchOf(turn: Turn | null, elements: Element[]): Touch | null {
  if (!turn) return null;
  const call = turn.action.call;
  const mark = turn.info.mark ?? call?.arguments.mark ?? call?.arguments.target;
  const named = mark === undefined || mark === null ? undefined : elements.find((element) => element.mark === String(mark));
  const direction = call?.name === "scroll" ? call.arguments.direction : undefined;
  const touch: Touch = {
    scroll: direction === "up" || direction === "down" ? direction : undefined,
    point: position(turn.info.point),
    end: position(turn.info.end),
    box: box(turn.info.box) ?? named?.box ?? undefined,
  };
  return touch.point || touch.box || touch.scroll ? touch : null;
}

function Stage({ run, turn, observation }: PanelProps) {
  const [showMarks, setShowMarks] = useState(false);
  const [highlight, setHighlight] = useState<string | null>(null);
  useKeys({ m: () => setShowMarks(!showMarks) });
  const elements = elementsOf(observation.info);
  const touch = touchOf(turn, elements);
  return (
    <div class="browser-stage">
      <AddressBar observation={observation}>
        {elements.length > 0 && (
          <label class="toggle"><input type="checkbox" checked={showMarks} onChange={() => setShowMarks(!showMarks)} /> marks</label>
        )}
      </AddressBar>
      <Screen run={run} digest={observation.images[observation.images.length - 1]} viewport={position(observation.info.viewport) ?? null}
        touch={touch} elements={elements} highlight={highlight} showMarks={showMarks}
        alt={`Screenshot of ${observation.info.title ?? observation.info.url ?? "the page"}`} />
      {elements.length > 0 && (
        <details class="elements">
          <summary>{elements.length} elements</summary>
          <ol onPointerLeave={() => setHighlight(null)}>
            {elements.map((element, index) => (
              <li key={index} onPointerEnter={() => setHighlight(element.mark)}
                class={touch?.box && element.box && String(touch.box) === String(element.box) ? "touched" : ""}>
                <span class="mark-number">{element.mark}</span> <code>{element.tag}</code> {element.text}
              </li>
            ))}
          </ol>
        </details>
      )}
      {observation.text && (
        <details class="raw-text"><summary>Observation as text</summary><pre tabIndex={0}>{observation.text}</pre></details>
      )}
    </div>
  );
}

function AddressBar({ observation, children }: { observation: Observation; children: preact.ComponentChildren }) {
  const { url, title } = observation.info;
  return (
    <div class="address">
      <span class="address-url" title={title ? String(title) : undefined}>{url ? String(url) : "–"}</span>
      {children}
    </div>
  );
}

export const browser: Panel = {
  name: "browser",
  fits: (trace) => [...trace.turns.map((turn) => turn.observation), trace.final].some((seen) => seen && (seen.images.length > 0 || elementsOf(seen.info).length > 0)),
  Stage,
};
