// The data of the live viewer: fetched from the server that served the page, with the token of the link.
import type { Label } from "../types";
import type { Source } from "./source";

const PULSE = 1500; // milliseconds between two looks at what changed

/**
 * The token stands in the link behind "#", which browsers keep to themselves. It moves to the storage of this origin
 * (so that new tabs have it) and out of the address bar.
 */
export function takeToken(): string {
  const found = /^#token=([\w-]+)(\/.*)?$/.exec(location.hash);
  if (found) {
    localStorage.setItem("turnsmith-token", found[1]!);
    history.replaceState(null, "", "#" + (found[2] ?? "/"));
  }
  return localStorage.getItem("turnsmith-token") ?? "";
}

export function serverSource(token: string): Source {
  const headers = { Authorization: `Bearer ${token}` };

  async function call(path: string, init: RequestInit = {}): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(path, { ...init, headers: { ...headers, ...init.headers } });
    } catch {
      throw new Error("The viewer does not answer. Is `turnsmith view` still running?");
    }
    if (answer.ok) return answer;
    const body = (await answer.json().catch(() => ({}))) as { error?: string };
    throw new Error(body.error ?? `The viewer answered ${answer.status}.`);
  }

  async function get<T>(path: string, query: { [key: string]: string } | [string, string][] = {}): Promise<T> {
    const search = new URLSearchParams(query).toString();
    return (await call(`/api/${path}${search ? "?" + search : ""}`)).json() as Promise<T>;
  }

  const thumbs = batched((run, digests) =>
    get<{ [digest: string]: string }>("thumbs", [["run", run], ...digests.map((digest): [string, string] => ["digest", digest])]),
  );
  const images = imageCache(async (run, digest, small) => {
    if (small) return thumbs(run, digest);
    const answer = await call(`/api/image?${new URLSearchParams({ run, digest })}`);
    return URL.createObjectURL(await answer.blob());
  });
  const pulse = startPulse(() => get<{ [run: string]: string }>("pulse"));

  return {
    live: true,
    only: null,
    overview: (run) => get("overview", { run }),
    traces: (run, query) => get("traces", { ...query, run }),
    trace: (run, id) => get("trace", { run, id }),
    image: images,
    runs: () => get("runs"),
    tasks: (run, query) => get("tasks", { ...query, run }),
    compare: (runs) => get("compare", runs.map((run): [string, string] => ["run", run])),
    labels: (run) => get("labels", { run }),
    results: () => get("results"),
    addLabel: async (run, label) => {
      const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(label) };
      return (await call(`/api/label?${new URLSearchParams({ run })}`, init)).json() as Promise<Label[]>;
    },
    onChange: pulse,
  };
}

/** Keeps the last images as object URLs, so that going back and forth costs nothing; older ones are given back. */
function imageCache(load: (run: string, digest: string, small: boolean) => Promise<string>, limit = 150) {
  const kept = new Map<string, Promise<string>>();
  return (run: string, digest: string, small: boolean): Promise<string> => {
    const key = `${digest} ${small} ${run}`;
    const found = kept.get(key) ?? load(run, digest, small);
    kept.delete(key);
    kept.set(key, found);
    found.catch(() => kept.delete(key));
    if (kept.size > limit) {
      const [oldest, url] = kept.entries().next().value!;
      kept.delete(oldest);
      // Not at once: an image that is on the page may still be read from it.
      url.then((gone) => setTimeout(() => URL.revokeObjectURL(gone), 30_000), () => {}); // (no matter for data URLs)
    }
    return found;
  };
}

/** Gathers what is asked for within a moment into few requests. */
function batched(load: (run: string, digests: string[]) => Promise<{ [digest: string]: string }>, size = 12) {
  let waiting: { run: string; digest: string; done: (url: string) => void; failed: (error: Error) => void }[] = [];

  const send = () => {
    const all = waiting;
    waiting = [];
    for (const run of new Set(all.map((one) => one.run))) {
      const mine = all.filter((one) => one.run === run);
      for (let start = 0; start < mine.length; start += size) {
        const group = mine.slice(start, start + size);
        load(run, [...new Set(group.map((one) => one.digest))]).then(
          (urls) => group.forEach(({ digest, done, failed }) => {
            const url = Object.hasOwn(urls, digest) ? urls[digest] : undefined;
            if (url) done(url);
            else failed(new Error("missing"));
          }),
          (error: Error) => group.forEach(({ failed }) => failed(error)),
        );
      }
    }
  };
  return (run: string, digest: string) =>
    new Promise<string>((done, failed) => {
      if (!waiting.length) setTimeout(send);
      waiting.push({ run, digest, done, failed });
    });
}

/** Asks every moment what changed, while the page is looked at, and tells those who listen to that run. */
function startPulse(ask: () => Promise<{ [run: string]: string }>) {
  const listeners = new Set<{ run: string | null; listener: () => void }>();
  let stamps: { [run: string]: string } | null = null;

  const beat = async () => {
    if (document.visibilityState === "visible" && listeners.size) {
      try {
        const now = await ask();
        const changed = stamps === null ? [] : [...new Set([...Object.keys(now), ...Object.keys(stamps)])].filter((run) => now[run] !== stamps![run]);
        stamps = now;
        if (changed.length) {
          for (const entry of [...listeners]) if (entry.run === null || changed.includes(entry.run)) entry.listener();
        }
      } catch {
        // The server is gone or busy: what is shown stays, and the next beat tries again.
      }
    }
    setTimeout(beat, PULSE);
  };
  setTimeout(beat, PULSE);

  return (run: string | null, listener: () => void) => {
    const entry = { run, listener };
    listeners.add(entry);
    return () => { listeners.delete(entry); };
  };
}
