// A screenshot with what the agent did drawn on it. Coordinates are those of the observation's viewport.
import { useEffect, useState } from "preact/hooks";
import { useSource } from "../source/source";
import type { Json, JsonObject } from "../types";
import { useSeen } from "./hooks";

export type Box = [number, number, number, number];
export type Position = [number, number];

/** What an action touched, as far as the environment recorded it. */
export interface Touch {
  point?: Position;
  end?: Position;
  box?: Box;
  /** A scroll of the whole window has a direction and no place. */
  scroll?: "up" | "down";
}

export interface Element {
  mark: string;
  tag: string;
  text: string;
  box: Box | null;
}

/** An image of the run by its digest; fetched when it comes into view. */
export function StoredImage(props: { run: string; digest: string; alt: string; small?: boolean; class?: string; onSize?: (size: Position) => void }) {
  const { run, digest, small = false } = props;
  const source = useSource();
  const [ref, seen] = useSeen<HTMLSpanElement>();
  const [state, setState] = useState({ digest: "", url: "", error: "" });
  useEffect(() => {
    if (!seen) return;
    let current = true;
    source.image(run, digest, small).then(
      (url) => current && setState({ digest, url, error: "" }),
      (error: Error) => current && setState({ digest, url: "", error: error.message }),
    );
    return () => { current = false; };
  }, [run, digest, small, seen, source]);
  const url = state.digest === digest ? state.url : "";
  if (state.error && state.digest === digest) return <span class="image-missing">{state.error}</span>;
  return (
    <span ref={ref} class={`stored-image ${props.class ?? ""}`}>
      {url && (
        <img src={url} alt={props.alt} decoding="async"
          onError={() => setState({ digest, url: "", error: "This image is damaged." })}
          onLoad={(event) => props.onSize?.([event.currentTarget.naturalWidth, event.currentTarget.naturalHeight])} />
      )}
    </span>
  );
}

interface Props {
  run: string;
  digest: string | undefined;
  viewport: Position | null;
  touch: Touch | null;
  elements: Element[];
  /** The mark to highlight, as from the list of elements. */
  highlight: string | null;
  showMarks: boolean;
  alt: string;
}

export function Screen({ run, digest, viewport, touch, elements, highlight, showMarks, alt }: Props) {
  const [size, setSize] = useState<Position | null>(null);
  const [width, height] = viewport ?? size ?? [1280, 720];
  const unit = width / 1000; // line widths and letters keep their size on the page, more or less
  const boxed = elements.filter((element) => element.box !== null);
  const lit = elements.find((element) => element.mark === highlight);
  return (
    <div class="screen">
      <div class="screen-frame">
        {digest ? <StoredImage run={run} digest={digest} alt={alt} onSize={setSize} /> : boxed.length === 0 && <p class="no-image">No screenshot on this turn.</p>}
        {!digest && boxed.length > 0 && <Wireframe elements={boxed} width={width} height={height} />}
        {(digest || boxed.length > 0) && (
          <svg class="overlay" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
            {showMarks && boxed.map((element) => <MarkBox key={element.mark} {...{ element, unit }} />)}
            {lit?.box && <rect class="lit" x={lit.box[0]} y={lit.box[1]} width={lit.box[2]} height={lit.box[3]} stroke-width={3 * unit} />}
            {touch && <TouchMark touch={touch} unit={unit} width={width} height={height} />}
          </svg>
        )}
      </div>
    </div>
  );
}

/** The page as the boxes of its elements, for runs that keep no screenshots. */
function Wireframe({ elements, width, height }: { elements: Element[]; width: number; height: number }) {
  return (
    <svg class="wireframe" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={`The page as boxes: ${elements.length} elements, no screenshot was kept`}>
      {elements.map((element, index) => {
        const [x, y, w, h] = element.box!;
        const size = Math.max(9, Math.min(15, h * 0.6));
        return (
          <svg key={index} x={x} y={y} width={Math.max(1, w)} height={Math.max(1, h)}>
            <rect x="0.5" y="0.5" width={Math.max(1, w - 1)} height={Math.max(1, h - 1)} rx="3" class={/^(input|textarea|select|button)$/.test(element.tag) ? "field" : ""} />
            <text x="5" y={h / 2 + size * 0.35} font-size={size}>{element.text}</text>
          </svg>
        );
      })}
    </svg>
  );
}

function MarkBox({ element, unit }: { element: Element; unit: number }) {
  const [x, y, w, h] = element.box!;
  const label = element.mark.length * 9 * unit + 6 * unit;
  return (
    <g class="mark-box">
      <rect x={x} y={y} width={w} height={h} stroke-width={1.5 * unit} />
      <rect class="mark-label" x={x} y={Math.max(0, y - 16 * unit)} width={label} height={16 * unit} />
      <text x={x + 3 * unit} y={Math.max(0, y - 16 * unit) + 12.5 * unit} font-size={13 * unit}>{element.mark}</text>
    </g>
  );
}

function TouchMark({ touch, unit, width, height }: { touch: Touch; unit: number; width: number; height: number }) {
  const { point, end, box } = touch;
  const [top, bottom]: [Position, Position] = [[width * 0.96, height * 0.35], [width * 0.96, height * 0.65]];
  const scrolled = touch.scroll && (touch.scroll === "down" ? swipe(top, bottom, unit) : swipe(bottom, top, unit));
  const arrow = point && end ? swipe(point, end, unit) : scrolled;
  return (
    <g class="touch">
      {box && <rect class="touch-box" x={box[0]} y={box[1]} width={box[2]} height={box[3]} stroke-width={3 * unit} rx={3 * unit} />}
      {arrow && <path class="swipe halo" d={arrow} stroke-width={9 * unit} />}
      {arrow && <path class="swipe" d={arrow} stroke-width={5 * unit} />}
      {point && <circle class="touch-ring" cx={point[0]} cy={point[1]} r={16 * unit} stroke-width={3 * unit} />}
      {point && <circle class="touch-dot" cx={point[0]} cy={point[1]} r={5 * unit} />}
    </g>
  );
}

/** A line from start to end with an arrow head. */
function swipe([x1, y1]: Position, [x2, y2]: Position, unit: number): string {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  const head = 22 * unit;
  const wing = (turn: number) => `${x2 - head * Math.cos(angle + turn)} ${y2 - head * Math.sin(angle + turn)}`;
  return `M${x1} ${y1} L${x2} ${y2} M${wing(0.5)} L${x2} ${y2} L${wing(-0.5)}`;
}

// Reading `info`, which may hold anything

export function position(value: Json | undefined): Position | undefined {
  return Array.isArray(value) && value.length >= 2 && value.slice(0, 2).every(Number.isFinite)
    ? [value[0] as number, value[1] as number] : undefined;
}

export function box(value: Json | undefined): Box | undefined {
  return Array.isArray(value) && value.length === 4 && value.every(Number.isFinite) ? (value as Box) : undefined;
}

export function elementsOf(info: JsonObject): Element[] {
  const list = Array.isArray(info.elements) ? info.elements : [];
  return list.flatMap((item) => {
    if (item === null || typeof item !== "object" || Array.isArray(item)) return [];
    const words = [item.text, item.aria].filter((word) => word !== undefined && word !== null && word !== "");
    return [{ mark: String(item.mark ?? ""), tag: String(item.tag ?? ""), text: words.length ? String(words[0]) : "", box: box(item.box) ?? null }];
  });
}
