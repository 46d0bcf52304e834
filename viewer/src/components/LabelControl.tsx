// A person's mark on an outcome or a turn. Only the live viewer can store one; a report shows what is there.
import { useState } from "preact/hooks";
import { useSource } from "../source/source";
import type { TracePage } from "../types";
import { RewardMark } from "./basic";

/** `turn` null: the outcome. The last label of a turn (or of the outcome) is the one that counts. */
export function LabelControl({ run, trace, turn, onLabel }: { run: string; trace: TracePage; turn: number | null; onLabel: () => void }) {
  const source = useSource();
  const [note, setNote] = useState("");
  const [open, setOpen] = useState(false);
  const [error, setError] = useState("");
  const labels = trace.labels.filter((label) => label.turn === turn);
  const last = labels[labels.length - 1];
  if (!source.live && !last) return null;

  const mark = (correct: boolean) =>
    source.addLabel(run, { trace_id: trace.row.id, turn, correct, note }).then(
      () => { setNote(""); setOpen(false); setError(""); onLabel(); },
      (failure: Error) => setError(failure.message),
    );
  const question = turn === null ? "Did the agent do what was asked?" : "Was this action right?";
  return (
    <section class="label-control" aria-label={question}>
      <span class="question">{question}</span>
      {source.live && (
        <span class="buttons">
          <button type="button" class={last?.correct === true ? "chosen" : ""} aria-pressed={last?.correct === true} onClick={() => mark(true)}>✓ right</button>
          <button type="button" class={last?.correct === false ? "chosen" : ""} aria-pressed={last?.correct === false} onClick={() => mark(false)}>✕ wrong</button>
          <button type="button" class="plain" aria-expanded={open} onClick={() => setOpen(!open)}>note</button>
        </span>
      )}
      {open && (
        <input type="text" value={note} aria-label="Note, stored with the mark" placeholder="a note, stored with the mark"
          onInput={(event) => setNote(event.currentTarget.value)} />
      )}
      {last && <span class="label-last"><RewardMark reward={last.correct ? 1 : 0} /> {last.note || (labels.length > 1 ? `${labels.length} marks` : "marked")}</span>}
      {error && <span class="step-error" role="alert">{error}</span>}
    </section>
  );
}
