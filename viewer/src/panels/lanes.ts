// Where the threads of a trace lie in time. A parent that waits for its children stands still until the last of those
// that it joins has ended, so the whole length is the number of tokens in sequence, not in total.
import type { Thread, Turn } from "../types";

export interface Piece {
  turn: number;
  start: number;
  end: number;
}

export interface Lane {
  id: number;
  parent: number | null;
  status: string;
  row: number;
  start: number;
  end: number;
  /** When the parent took it back, in time; null when it never joined. */
  join: number | null;
  pieces: Piece[];
}

/** Lay out threads; the unit is tokens where any were stored, else turns. */
export function lanes(threads: Thread[], turns: Turn[]): { lanes: Lane[]; length: number; unit: "tokens" | "turns" } {
  const unit = turns.some((turn) => turn.tokens.ids.length > 0) ? "tokens" : "turns";
  const size = (turn: Turn) => (unit === "tokens" ? Math.max(1, turn.tokens.ids.length) : 1);
  const placed = new Map<number, Lane>();

  const place = (thread: Thread, start: number): Lane => {
    const lane: Lane = { id: thread.id, parent: thread.parent, status: String(thread.status), row: placed.size, start, end: start, join: null, pieces: [] };
    placed.set(thread.id, lane);
    const children = threads.filter((child) => child.parent === thread.id && !placed.has(child.id));
    let [own, time] = [0, start]; // own: how much of this thread lies behind us
    const waiting: { child: Thread; lane: Lane }[] = [];

    // What happens at a point of the thread's own text: children start, and joined ones are waited for.
    const reach = (point: number) => {
      for (const child of children.filter((one) => one.spawned_at <= point && !placed.has(one.id))) {
        waiting.push({ child, lane: place(child, time + child.delay) });
      }
      const joining = waiting.filter(({ child, lane: line }) => child.joined_at !== null && child.joined_at <= point && line.join === null);
      time = Math.max(time, ...joining.map(({ lane: line }) => line.end));
      for (const { lane: line } of joining) line.join = time;
    };

    for (const turn of turns.filter((one) => one.thread === thread.id)) {
      reach(own);
      lane.pieces.push({ turn: turn.index, start: time, end: time + size(turn) });
      own += size(turn);
      time += size(turn);
    }
    reach(Infinity);
    lane.end = time;
    return lane;
  };

  const root = threads.find((thread) => thread.parent === null) ?? { id: 0, parent: null, spawned_at: 0, joined_at: null, status: "joined", delay: 0 };
  place(root, 0);
  for (const orphan of threads.filter((thread) => !placed.has(thread.id))) place(orphan, 0);
  const all = [...placed.values()];
  return { lanes: all, length: Math.max(1, ...all.map((lane) => lane.end)), unit };
}
