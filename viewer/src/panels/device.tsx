// A touch phone: the screen upright, taps and swipes drawn on it.
import { Screen, elementsOf, position } from "../components/Screen";
import { touchOf } from "./browser";
import type { Panel, PanelProps } from "./panel";

function Stage({ run, turn, observation }: PanelProps) {
  const elements = elementsOf(observation.info);
  const app = observation.info.app ?? observation.info.title;
  return (
    <div class="device-stage">
      {app !== undefined && app !== null && <p class="quiet">{String(app)}</p>}
      <Screen run={run} digest={observation.images[observation.images.length - 1]} viewport={position(observation.info.viewport) ?? null}
        touch={touchOf(turn, elements)} elements={elements} highlight={null} showMarks={false} alt="Screen of the phone" />
      {observation.text && (
        <details class="raw-text"><summary>Observation as text</summary><pre tabIndex={0}>{observation.text}</pre></details>
      )}
    </div>
  );
}

export const device: Panel = {
  name: "device",
  fits: (trace) => trace.row.environment === "device" || trace.row.environment.startsWith("device-"),
  Stage,
};
