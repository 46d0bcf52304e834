// A line chart with 95 % bands, as SVG. One metric, one or several curves.
import { useState } from "preact/hooks";
import type { Point, Series } from "../types";
import { number, words } from "../format";
import { useWidth } from "./hooks";

const PAD = { left: 44, right: 12, top: 10, bottom: 30 };

interface Props {
  title: string;
  curves: Series[];
  height?: number;
}

export function Chart({ title, curves, height = 190 }: Props) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const [hover, setHover] = useState<number | null>(null);
  const all = curves.flatMap((curve) => [...curve.points, ...(curve.members ?? []).flat()]);
  if (!all.length) return null;
  const axis = xAxis(all);
  const axisName = curves.find((curve) => curve.axis)?.axis ?? axis;
  const xs = all.map((point) => xOf(point, axis));
  const isFraction = all.every((point) => point.value >= 0 && point.value <= 1) && /success|rate|accuracy/.test(title);
  const bounds = all.flatMap((point) => [point.value, point.low ?? point.value, point.high ?? point.value]);
  const xScale = scale(Math.min(...xs), Math.max(...xs), PAD.left, width - PAD.right);
  const [low, high] = isFraction ? [0, 1] : padded(Math.min(...bounds), Math.max(...bounds));
  const yScale = scale(low, high, height - PAD.bottom, PAD.top);
  const show = (value: number) => (isFraction ? `${Math.round(100 * value)} %` : number(value));
  const marks = ticks(low, high, 4);
  const digits = decimals(marks);
  const nearest = hover === null ? null : xs.reduce((a, b) => (Math.abs(b - hover) < Math.abs(a - hover) ? b : a), xs[0]!);

  const move = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const fraction = (event.clientX - box.left - PAD.left) / (width - PAD.left - PAD.right);
    setHover(Math.min(...xs) + fraction * (Math.max(...xs) - Math.min(...xs)));
  };

  return (
    <figure class="chart" ref={ref as never}>
      <figcaption>
        {words(title)}
        {curves.length > 1 && <Legend curves={curves} />}
      </figcaption>
      <svg width={width} height={height} role="img" aria-label={describe(title, curves, show)}
        onPointerMove={move} onPointerLeave={() => setHover(null)}>
        {marks.map((tick) => (
          <g key={tick}>
            <line class="grid" x1={PAD.left} x2={width - PAD.right} y1={yScale(tick)} y2={yScale(tick)} />
            <text class="tick" x={PAD.left - 6} y={yScale(tick) + 4} text-anchor="end">{isFraction ? show(tick) : number(tick, digits, true)}</text>
          </g>
        ))}
        {xTicks(xs, width).map((tick) => (
          <text key={tick} class="tick" x={xScale(tick)} y={height - 12} text-anchor="middle">{number(tick)}</text>
        ))}
        <text class="tick axis" x={width - PAD.right} y={height - 1} text-anchor="end">{axisName}</text>
        {curves.map((curve, index) => (
          <g key={index}>
            <Band {...{ points: curve.points, axis, xScale, yScale }} colour={index} />
            {curve.members?.map((points, seed) => <Line key={seed} {...{ points, axis, xScale, yScale }} colour={index} thin />)}
            <Line {...{ points: curve.points, axis, xScale, yScale }} colour={index} />
          </g>
        ))}
        {nearest !== null && (
          <line class="cursor" x1={xScale(nearest)} x2={xScale(nearest)} y1={PAD.top} y2={height - PAD.bottom} />
        )}
      </svg>
      <p class="reading" aria-hidden="true">
        {nearest !== null && curves.map((curve, index) => {
          const point = curve.points.find((candidate) => xOf(candidate, axis) === nearest);
          return point && <span class={`colour-${index % 6}`}>{axisName} {number(nearest)}: {withInterval(point, show)}</span>;
        })}
      </p>
    </figure>
  );
}

function Legend({ curves }: { curves: Series[] }) {
  return (
    <span class="legend">
      {curves.map((curve, index) => (
        <span key={index} class={`colour-${index % 6}`}>{curve.label ?? (curve.phase || curve.metric)}</span>
      ))}
    </span>
  );
}

type Scale = (value: number) => number;
type Axis = "iteration" | "step" | "seconds";
interface Drawn { points: Point[]; axis: Axis; xScale: Scale; yScale: Scale; colour: number }

function Line({ points, axis, xScale, yScale, colour, thin }: Drawn & { thin?: boolean }) {
  const at = points.map((point) => `${xScale(xOf(point, axis)).toFixed(1)},${yScale(point.value).toFixed(1)}`);
  const dots = points.length <= 40 && !thin;
  return (
    <g class={`curve colour-${colour % 6} ${thin ? "thin" : ""} ${colour >= 6 ? "dashed" : ""}`}>
      <polyline points={at.join(" ")} />
      {dots && points.map((point, index) => (
        <circle key={index} cx={xScale(xOf(point, axis))} cy={yScale(point.value)} r="2.5" />
      ))}
    </g>
  );
}

function Band({ points: all, axis, xScale, yScale, colour }: Drawn) {
  const points = all.filter((point) => point.low !== null && point.high !== null);
  if (!points.length) return null;
  if (points.length === 1) {
    const x = xScale(xOf(points[0]!, axis));
    return <line class={`whisker-line colour-${colour % 6}`} x1={x} x2={x} y1={yScale(points[0]!.low!)} y2={yScale(points[0]!.high!)} />;
  }
  const up = points.map((point) => `${xScale(xOf(point, axis))},${yScale(point.high!)}`);
  const down = points.map((point) => `${xScale(xOf(point, axis))},${yScale(point.low!)}`).reverse();
  return <polygon class={`band colour-${colour % 6}`} points={[...up, ...down].join(" ")} />;
}

function xAxis(points: Point[]): Axis {
  const distinct = (key: "iteration" | "step") => new Set(points.map((point) => point[key]).filter((x) => x !== null)).size;
  const [iterations, steps] = [distinct("iteration"), distinct("step")];
  if (!iterations && !steps) return "seconds";
  return steps > iterations ? "step" : "iteration";
}

function xOf(point: Point, axis: Axis): number {
  return (axis === "seconds" ? point.time : point[axis]) ?? 0;
}

function scale(from: number, to: number, start: number, end: number): Scale {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (end - start);
}

function padded(low: number, high: number): [number, number] {
  const margin = 0.06 * (high - low) || Math.abs(high) * 0.1 || 1;
  return [low >= 0 && low - margin < 0 ? 0 : low - margin, high + margin];
}

/** About `wanted` round numbers between low and high. */
export function ticks(low: number, high: number, wanted: number): number[] {
  if (!(high > low)) return Number.isFinite(low) ? [low] : [];
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? rough;
  const found: number[] = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) found.push(+tick.toFixed(10));
  return found;
}

/** How many decimals tell these numbers apart. */
function decimals(marks: number[]): number {
  return Math.min(4, Math.max(0, ...marks.map((mark) => (String(+mark.toFixed(6)).split(".")[1] ?? "").length)));
}

function xTicks(xs: number[], width: number): number[] {
  const distinct = [...new Set(xs)].sort((a, b) => a - b);
  if (distinct.every(Number.isInteger) && distinct.length <= Math.min(12, width / 50)) return distinct;
  return ticks(distinct[0]!, distinct[distinct.length - 1]!, Math.max(2, Math.floor(width / 90)));
}

function withInterval(point: Point, show: (value: number) => string): string {
  const interval = point.low === null || point.high === null ? "" : ` (${show(point.low)} to ${show(point.high)})`;
  return show(point.value) + interval;
}

function describe(title: string, curves: Series[], show: (value: number) => string): string {
  const parts = curves.map((curve) => {
    const [first, last] = [curve.points[0], curve.points[curve.points.length - 1]];
    const name = curve.label ?? curve.phase;
    return first && last ? `${name} from ${withInterval(first, show)} to ${withInterval(last, show)}` : name;
  });
  return `${words(title)}: ${parts.join("; ")}`;
}

/** All curves of a run: one chart a metric, its phases together. */
export function Charts({ series, first }: { series: Series[]; first?: number }) {
  const metrics = [...new Set(series.map((curve) => curve.metric))];
  const shown = first === undefined ? metrics : metrics.slice(0, first);
  return (
    <div class="charts">
      {shown.map((metric) => (
        <Chart key={metric} title={metric} curves={series.filter((curve) => curve.metric === metric)} />
      ))}
    </div>
  );
}
