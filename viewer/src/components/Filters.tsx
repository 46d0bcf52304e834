// Filters that live in the address, so that a list can be bookmarked and "back" works.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { replaceQuery } from "../router";

export function FilterBar({ children, label }: { children: ComponentChildren; label: string }) {
  return <form class="filters" role="search" aria-label={label} onSubmit={(event) => event.preventDefault()}>{children}</form>;
}

/** Choices are values, or [value, what is shown]. The empty value means no filter. */
export function Choice({ name, label, query, choices, any = "all" }: {
  name: string;
  label: string;
  query: URLSearchParams;
  choices: (string | [string, string])[];
  any?: string | null;
}) {
  if (!choices.length) return null;
  const value = query.get(name) ?? "";
  const pairs = choices.map((choice) => (typeof choice === "string" ? ([choice, choice] as const) : choice));
  const known = pairs.some(([one]) => one === value) || value === "";
  return (
    <label class="filter">
      <span>{label}</span>
      <select value={value} onChange={(event) => replaceQuery({ [name]: event.currentTarget.value, offset: "" })}>
        {any !== null && <option value="">{any}</option>}
        {!known && <option value={value}>{value}</option>}
        {pairs.map(([one, shown]) => <option key={one} value={one}>{shown}</option>)}
      </select>
    </label>
  );
}

export function TextFilter({ name, label, query, numeric = false }: {
  name: string; label: string; query: URLSearchParams; numeric?: boolean;
}) {
  const inAddress = query.get(name) ?? "";
  const [text, setText] = useState(inAddress);
  const timer = useRef<number | undefined>(undefined);
  useEffect(() => setText(inAddress), [inAddress]);
  return (
    <label class="filter">
      <span>{label}</span>
      <input type={"search" as const} inputMode={numeric ? "numeric" : undefined} class={numeric ? "narrow" : ""} value={text} onInput={(event) => {
        const value = event.currentTarget.value;
        setText(value);
        clearTimeout(timer.current);
        timer.current = window.setTimeout(() => replaceQuery({ [name]: value, offset: "" }), 180);
      }} />
    </label>
  );
}

/** "101 to 200 of 10,000" with a page back and forth. */
export function Pager({ offset, limit, shown, total }: { offset: number; limit: number; shown: number; total: number }) {
  const turn = (to: number) => {
    replaceQuery({ offset: to > 0 ? to : "" });
    window.scrollTo(0, 0);
  };
  return (
    <p class="pager">
      <span aria-live="polite">
        {total === 0 ? "none" : `${(offset + 1).toLocaleString("en-US")} to ${(offset + shown).toLocaleString("en-US")} of ${total.toLocaleString("en-US")}`}
      </span>
      {total > limit && (
        <span class="buttons">
          <button type="button" disabled={offset === 0} onClick={() => turn(Math.max(0, offset - limit))}>← previous</button>
          <button type="button" disabled={offset + limit >= total} onClick={() => turn(offset + limit)}>next →</button>
        </span>
      )}
    </p>
  );
}
