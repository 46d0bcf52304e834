// Which turn earned the reward: a bar a turn, coloured and sized by its advantage.

/** Blue for credit above zero, orange below; the strength is relative to the largest of the trace. */
export function creditClass(advantage: number | null): string {
  if (advantage === null || advantage === 0) return "credit-none";
  return advantage > 0 ? "credit-plus" : "credit-minus";
}

export function CreditBar({ advantage, largest }: { advantage: number | null; largest: number }) {
  const share = advantage === null ? 0 : Math.min(1, Math.abs(advantage) / (largest || 1));
  const height = 12 * share;
  return (
    <svg class={`credit-bar ${creditClass(advantage)}`} viewBox="0 0 100 25" preserveAspectRatio="none" aria-hidden="true">
      <line x1="0" x2="100" y1="12.5" y2="12.5" />
      <rect x="0" width="100" y={(advantage ?? 0) > 0 ? 12.5 - height : 12.5} height={height} />
    </svg>
  );
}
