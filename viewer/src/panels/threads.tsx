// Threads of inference (APR): a lane a thread, spawns and joins as connectors, time in tokens from left to right.
import { useWidth } from "../components/hooks";
import type { Turn } from "../types";
import type { Panel, PanelProps } from "./panel";
import { lanes } from "./lanes";
import type { Lane } from "./lanes";

const LANE = 26;
const LEFT = 92;

function Stage({ trace, turn, observation, select }: PanelProps) {
  const [ref, width] = useWidth<HTMLDivElement>(800);
  const { lanes: drawn, length, unit } = lanes(trace.threads, trace.turns);
  // A thread that was not joined says so after its end, which may be the end of all.
  const right = drawn.some((lane) => lane.status !== "joined" && lane.id !== 0) ? 68 : 16;
  const x = (time: number) => LEFT + (time / (length || 1)) * (width - LEFT - right);
  const y = (lane: Lane) => 14 + lane.row * LANE;
  const byId = new Map(drawn.map((lane) => [lane.id, lane]));
  return (
    <div class="threads-stage" ref={ref as never}>
      <svg width={width} height={drawn.length * LANE + 34} role="img" aria-label={`${drawn.length} threads over ${length} ${unit}`}>
        {drawn.map((lane) => {
          const parent = lane.parent === null ? undefined : byId.get(lane.parent);
          return (
            <g key={lane.id} class={`lane status-${lane.status} ${turn?.thread === lane.id ? "current" : ""}`}>
              {parent && <path class="spawn" d={`M${x(lane.start)} ${y(parent)} V${y(lane)}`} />}
              {parent && lane.join !== null && <path class="join" d={`M${x(lane.end)} ${y(lane)} H${x(lane.join)} V${y(parent)}`} />}
              <text x="4" y={y(lane) + 4} class="tick">{lane.id === 0 ? "main" : `thread ${lane.id}`}</text>
              {lane.pieces.map((piece) => (
                <rect key={piece.turn} x={x(piece.start)} y={y(lane) - 7} height="14" rx="2"
                  width={Math.max(3, x(piece.end) - x(piece.start) - 1)}
                  class={`piece ${turn?.index === piece.turn ? "selected" : ""} ${creditOf(trace.turns[piece.turn])}`}
                  onClick={() => select(piece.turn)}>
                  <title>{`turn ${piece.turn + 1}: ${piece.end - piece.start} ${unit}`}</title>
                </rect>
              ))}
              {lane.status !== "joined" && lane.id !== 0 && <text class="tick lane-status" x={x(lane.end) + 4} y={y(lane) + 4}>{lane.status}</text>}
            </g>
          );
        })}
        <text class="tick" x={LEFT} y={drawn.length * LANE + 24}>0</text>
        <text class="tick" x={width - right} y={drawn.length * LANE + 24} text-anchor="end">{length} {unit} in sequence</text>
      </svg>
      <pre class="observation-text" tabIndex={0}>{observation.text || turn?.action.text || "No text on this turn."}</pre>
    </div>
  );
}

function creditOf(turn: Turn | undefined): string {
  if (!turn || turn.advantage === null || turn.advantage === 0) return "";
  return turn.advantage > 0 ? "credit-plus" : "credit-minus";
}

export const threads: Panel = { name: "threads", fits: (trace) => trace.threads.length > 1, Stage };
