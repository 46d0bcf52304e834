// The frame around every page: where one is, the pages of this run, light and dark.
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { Guard } from "./components/basic";
import { LIVE_PAGES } from "./pages/live";
import { Overview } from "./pages/Overview";
import { SideBySide } from "./pages/SideBySide";
import { TraceRoute } from "./pages/TracePage";
import { href, useRoute } from "./router";
import type { Route } from "./router";
import { useSource } from "./source/source";

export function App() {
  const route = useRoute();
  const key = route.parts.join("/");
  useEffect(() => { window.scrollTo(0, 0); }, [key]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>Skip to the page</a>
      <Header route={route} />
      <main id="main" tabIndex={-1}>
        <Guard key={key} what="This page"><Page route={route} /></Guard>
      </main>
    </>
  );
}

function Page({ route: { parts, query } }: { route: Route }) {
  const source = useSource();
  const [where, run, page, id] = parts;
  if (where === "side") return <SideBySide query={query} />;
  if (where === "run" && run && page === "trace" && id) return <TraceRoute run={run} id={id} query={query} />;
  if (where === "run" && run && !page) return <Overview run={run} />;
  if (!source.live) return <Overview run={source.only ?? ""} />;
  return <LivePage parts={parts} query={query} />;
}

function LivePage({ parts, query }: Route) {
  const [where = "", run = "", page = ""] = parts;
  const Found = where === "run" ? LIVE_PAGES.run[page] : LIVE_PAGES.top[where];
  return Found ? <Found run={run} query={query} /> : <p class="notice">There is no such page. <a href="#/">All runs</a></p>;
}

function Header({ route }: { route: Route }) {
  const source = useSource();
  const [where, run] = route.parts;
  const name = source.only ?? (where === "run" ? run : where === "side" ? route.query.get("run") ?? undefined : undefined);
  const page = route.parts[2] ?? "";
  const tabs: [string, string][] = [["", "Overview"], ["traces", "Traces"], ["tasks", "Tasks"], ["labels", "Labels"]];
  return (
    <header class="bar">
      <a class="brand" href="#/">Turnsmith</a>
      {source.live && (
        <nav aria-label="All runs" class="top-nav">
          <a href="#/" aria-current={where === undefined ? "page" : undefined}>Runs</a>
          <a href="#/compare" aria-current={where === "compare" ? "page" : undefined}>Compare</a>
          <a href="#/results" aria-current={where === "results" ? "page" : undefined}>Results</a>
        </nav>
      )}
      {name && (
        <nav aria-label="This run" class="run-nav">
          <a class="run-name" href={href(["run", name])}>{name}</a>
          {source.live && tabs.map(([path, title]) => (
            <a key={path} href={href(["run", name, path].filter(Boolean))} aria-current={where === "run" && (page === path || (page === "trace" && path === "traces")) ? "page" : undefined}>{title}</a>
          ))}
        </nav>
      )}
      <ThemeButton />
    </header>
  );
}

/** Light, dark, or as the system says. */
function ThemeButton() {
  const [theme, setTheme] = useState(() => recall());
  useLayoutEffect(() => {
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("turnsmith-theme", theme); } catch { /* a file opened with storage off */ }
  }, [theme]);
  const next: { [theme: string]: string } = { auto: "dark", dark: "light", light: "auto" };
  return <button type="button" class="theme plain" onClick={() => setTheme(next[theme] ?? "auto")} aria-label={`Colours: ${theme}. Change`} title={`Colours: ${theme}`}>◐</button>;
}

function recall(): string {
  try {
    const stored = localStorage.getItem("turnsmith-theme");
    return stored === "dark" || stored === "light" ? stored : "auto";
  } catch {
    return "auto";
  }
}
