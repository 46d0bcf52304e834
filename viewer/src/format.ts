// Numbers and moments as people read them.

/** Whole numbers go without decimals unless `always` says otherwise. */
export function number(value: number | null | undefined, digits = 2, always = false): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)) return value.toExponential(1);
  const rounded = value.toFixed(Number.isInteger(value) && !always ? 0 : digits);
  return rounded.replace("-", "−");
}

/** About three digits that count. */
export function figure(value: number | null): string {
  return number(value, value !== null && Math.abs(value) < 10 ? 2 : 1);
}

export function signed(value: number | null, digits = 2): string {
  if (value === null) return "–";
  return (value > 0 ? "+" : "") + number(value, digits);
}

/** A fraction as a percentage without its sign. */
export function percent(fraction: number): string {
  return (100 * fraction).toFixed(Math.abs(fraction) < 0.0995 && fraction !== 0 ? 1 : 0).replace("-", "−");
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

export function duration(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} days`;
}

export function ago(time: number, now = Date.now() / 1000): string {
  if (!time) return "–";
  const seconds = now - time;
  return seconds < 5 ? "just now" : `${duration(Math.max(0, seconds))} ago`;
}

export function moment(time: number): string {
  if (!time) return "–";
  const date = new Date(time * 1000);
  return Number.isNaN(date.getTime()) ? "–" : date.toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

export function words(name: string): string {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
