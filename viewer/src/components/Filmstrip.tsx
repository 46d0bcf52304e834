// The turns of a trace in a row: small screenshot, action, credit. The current one is in view.
import { useEffect, useRef } from "preact/hooks";
import { signed } from "../format";
import type { TracePage } from "../types";
import { CreditBar } from "./Credit";
import { StoredImage } from "./Screen";
import { describeCall } from "./TurnDetails";

export function Filmstrip({ run, trace, current, select }: { run: string; trace: TracePage; current: number; select: (index: number) => void }) {
  const strip = useRef<HTMLOListElement>(null);
  useEffect(() => {
    const [list, frame] = [strip.current, strip.current?.children[current] as HTMLElement | undefined];
    if (list && frame) list.scrollTo({ left: frame.offsetLeft - list.clientWidth / 2 + frame.clientWidth / 2 });
  }, [current]);
  const largest = Math.max(0, ...trace.turns.map((turn) => Math.abs(turn.advantage ?? 0)));
  const pictures = trace.turns.some((turn) => turn.observation.images.length);
  return (
    <ol class={`filmstrip ${pictures ? "with-pictures" : ""}`} ref={strip} aria-label="Turns">
      {trace.turns.map((turn) => {
        const image = turn.observation.images[turn.observation.images.length - 1];
        const failed = turn.action.error || trace.turns[turn.index + 1]?.observation.error;
        return (
          <li key={turn.index}>
            <button type="button" onClick={() => select(turn.index)} aria-current={turn.index === current ? "step" : undefined}
              aria-label={`Turn ${turn.index + 1}: ${describeCall(turn)}${failed ? ", error" : ""}, advantage ${signed(turn.advantage)}`}>
              {pictures && (image ? <StoredImage run={run} digest={image} alt="" small class="thumb" /> : <span class="thumb empty" />)}
              <span class="frame-line"><span class="frame-number">{turn.index + 1}</span> {describeCall(turn)}{failed && <span class="frame-error" aria-hidden="true"> !</span>}</span>
              <CreditBar advantage={turn.advantage} largest={largest} />
            </button>
          </li>
        );
      })}
      {trace.final && (
        <li>
          <button type="button" onClick={() => select(trace.turns.length)} aria-current={current === trace.turns.length ? "step" : undefined}>
            {pictures && (trace.final.images.length ? <StoredImage run={run} digest={trace.final.images[trace.final.images.length - 1]!} alt="" small class="thumb" /> : <span class="thumb empty" />)}
            <span class="frame-line">after the end</span>
          </button>
        </li>
      )}
    </ol>
  );
}
