// Pages are addressed by the fragment (#/run/NAME/trace/ID?turn=3), which works the same from a server and from a file.
import { useLayoutEffect, useState } from "preact/hooks";

export interface Route {
  parts: string[];
  query: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decode);
  return { parts, query: new URLSearchParams(query) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

type Query = { [key: string]: string | number | null | undefined };

export function href(parts: string[], query: Query = {}): string {
  const filled = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = new URLSearchParams(filled.map(([key, value]) => [key, String(value)])).toString();
  return "#/" + parts.map(encodeURIComponent).join("/") + (search ? "?" + search : "");
}

export function go(link: string): void {
  location.hash = link;
}

/** Change the query of this page without a new entry in the history. */
export function replaceQuery(query: Query): void {
  const { parts, query: old } = parseRoute(location.hash);
  const merged: Query = Object.fromEntries(old);
  history.replaceState(null, "", href(parts, { ...merged, ...query }));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useLayoutEffect(() => {
    const listen = () => setRoute(parseRoute(location.hash));
    window.addEventListener("hashchange", listen);
    listen(); // the address may have changed since the first rendering
    return () => window.removeEventListener("hashchange", listen);
  }, []);
  return route;
}

export const tracePath = (run: string, id: string) => ["run", run, "trace", id];
