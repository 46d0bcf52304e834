// The sampled tokens, shaded by how unlikely the policy found them; hovering (or focusing) one tells its probability.
import { useState } from "preact/hooks";
import type { Tokens } from "../types";
import { number } from "../format";

export function TokenStrip({ tokens }: { tokens: Tokens }) {
  const [current, setCurrent] = useState<number | null>(null);
  if (!tokens.ids.length) return null;
  const chosen = tokens.logprobs.filter((_, index) => isChosen(tokens, index));
  const mean = chosen.length ? -chosen.reduce((sum, logprob) => sum + logprob, 0) / chosen.length : null;
  return (
    <section class="tokens" aria-label="Token log-probabilities">
      <h3>Tokens</h3>
      <p class="quiet reading" aria-live="polite">
        {current === null
          ? `${tokens.ids.length} tokens after a prompt of ${tokens.prompt}; mean surprise ${number(mean)} nats`
          : describe(tokens, current)}
      </p>
      <p class="token-strip" tabIndex={0} onPointerLeave={() => setCurrent(null)} onKeyDown={(event) => {
        const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
        if (!step) return;
        event.stopPropagation();
        setCurrent(Math.max(0, Math.min(tokens.ids.length - 1, (current ?? -1) + step)));
      }}>
        {tokens.ids.map((id, index) => (
          <span key={index} onPointerEnter={() => setCurrent(index)}
            class={`token level-${level(tokens.logprobs[index])} ${isChosen(tokens, index) ? "" : "forced"} ${index === current ? "current" : ""}`}>
            {tokens.texts ? tokens.texts[index] : id}
          </span>
        ))}
      </p>
    </section>
  );
}

function isChosen(tokens: Tokens, index: number): boolean {
  return !tokens.sampled.length || tokens.sampled[index] === true;
}

/** 0: at least 90 % likely; 5: below 2 %. */
function level(logprob: number | undefined): number {
  if (logprob === undefined || logprob === null) return 0;
  return [0.9, 0.6, 0.3, 0.1, 0.02].filter((bound) => Math.exp(logprob) < bound).length;
}

function describe(tokens: Tokens, index: number): string {
  const logprob = tokens.logprobs[index];
  const text = tokens.texts ? ` “${tokens.texts[index]}”` : "";
  if (!isChosen(tokens, index)) return `${index + 1}. token ${tokens.ids[index]}${text}: put there, not chosen`;
  const chance = logprob === undefined || logprob === null ? "no log-probability stored" : `p = ${Math.exp(logprob).toPrecision(3)}, log p = ${number(logprob, 3)}`;
  return `${index + 1}. token ${tokens.ids[index]}${text}: ${chance}`;
}
