"""`turnsmith bench view`: how quickly the viewer shows big runs, in real headless Chromium.

A made-up run of 10,000 traces with screenshots is served by a process of its own. Every time is taken in the page, from
the click to the frame after everything that is waited for is there, with the browser's caches empty.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import tyro
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from turnsmith.envs.browser.chromium import find_chromium
from turnsmith.evaluate.claims import Claim, record
from turnsmith.options import parse_options
from turnsmith.trace.store import Store
from turnsmith.view.sample import long_trace, write_sample_run

AXE = Path("tests/view/vendor/axe-4.14.1.min.js")
SCREENSHOTS = 30

# Waits, frame by frame, until the condition holds and one more frame was painted; gives the milliseconds since `begin`.
_MEASURE = """([begin, condition, argument]) => new Promise((resolve, reject) => {
  const holds = new Function("argument", "return " + condition);
  const start = performance.now();
  const look = () => {
    if (performance.now() - start > 30000) reject(new Error("waited 30 s for: " + condition));
    else if (holds(argument)) requestAnimationFrame(() => resolve(performance.now() - start));
    else requestAnimationFrame(look);
  };
  if (begin.startsWith("#")) location.hash = begin; else document.querySelector(begin).click();
  requestAnimationFrame(look);
})"""
_LIST_IS_THERE = "document.querySelectorAll('table.traces tbody tr').length === argument"
_NOTHING_MATCHES = "document.querySelector('main').textContent.includes('No trace matches')"
_TRACE_IS_THERE = """(() => {
  const images = [...document.querySelectorAll('.trace-page img')];
  return images.length === argument && images.every((image) => image.complete && image.naturalWidth > 0);
})()"""


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured.

    Attributes:
        traces: how many the run has.
        turns: mean turns a trace.
        repeats: how often each time is taken.
        run: an existing run made by this benchmark, instead of a new one.
        axe: axe-core, for the accessibility rules.
        results: the folder for results/bench_view.json.
    """

    traces: int = 10_000
    turns: int = 10
    repeats: int = 7
    run: Path | None = None
    axe: Path = AXE
    results: Annotated[Path, tyro.conf.arg(help="the folder of results")] = Path("results")


def main(argv: list[str]) -> int:
    """Measure, print, and record the claims."""
    options = parse_options(Options, argv, prog="turnsmith bench view", description=__doc__)
    with tempfile.TemporaryDirectory(prefix="turnsmith-bench-view-") as scratch:
        run = options.run or _make_run(Path(scratch) / "big", options)
        with _viewer(run) as (link, server):
            figures = _measure(link, run.name, server, options)
    for name, value in figures.items():
        print(f"{name:32} {value}")
    path = record("bench_view", _claims(figures, options), "turnsmith bench view", options.results)
    print(f"recorded in {path}")
    return 0


def _make_run(folder: Path, options: Options) -> Path:
    print(f"making a run of {options.traces:,} traces ...", flush=True)
    write_sample_run(folder, options.traces, options.turns, distinct=120)
    with Store(folder / "run.db") as store:
        store.append(long_trace(SCREENSHOTS))
    return folder


@contextmanager
def _viewer(run: Path) -> Iterator[tuple[str, psutil.Process]]:
    """`turnsmith view RUN` in its own process: (link, process)."""
    command = [sys.executable, "-m", "turnsmith.cli", "view", str(run), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _measure(link: str, name: str, server: psutil.Process, options: Options) -> dict[str, Any]:
    arguments = ["--disable-gpu"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
    figures: dict[str, Any] = {"load": round(os.getloadavg()[0], 1)}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(find_chromium().path), args=arguments)
        figures["list_first_ms"] = round(_open_list(browser, link, name))
        lists = [_open_list(browser, link, name) for _ in range(options.repeats)]
        figures["list_10k_ms"] = round(statistics.median(lists))
        figures["list_10k_worst_ms"] = round(max(lists))
        filtered = _filter_list(browser, link, name)
        figures["filter_or_sort_median_ms"] = round(statistics.median(filtered))
        figures["filter_or_sort_worst_ms"] = round(max(filtered))
        shown = [_open_trace(browser, link, name, width=1400) for _ in range(options.repeats)]
        whole = [_open_trace(browser, link, name, width=5000) for _ in range(options.repeats)]
        figures["trace_visible_ms"] = round(statistics.median(shown))
        figures["trace_30_images_ms"] = round(statistics.median(whole))
        figures["trace_30_images_worst_ms"] = round(max(whole))
        figures.update(_memory(browser, link, name, server))
        figures["axe_serious"], figures["axe_found"] = _axe(browser, link, name, options.axe)
        browser.close()
    return figures


@contextmanager
def _page(browser: Browser, link: str, width: int = 1400, dark: bool = False) -> Iterator[Page]:
    """A page with empty caches, signed in, on the list of runs."""
    viewport: ViewportSize = {"width": width, "height": 900}
    context = browser.new_context(viewport=viewport, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.goto(link)
    page.wait_for_selector("table a")
    yield page
    context.close()


def _open_list(browser: Browser, link: str, name: str) -> float:
    with _page(browser, link) as page:
        page.goto(f"{link.split('#')[0]}#/run/{name}")
        page.wait_for_selector("table.traces")
        return page.evaluate(_MEASURE, ["a[href$='/traces']", _LIST_IS_THERE, 100])


def _filter_list(browser: Browser, link: str, name: str) -> list[float]:
    """Times of filters and orders that each fill a window of 100 rows, from a list that is empty."""
    queries = ("outcome=failure", "site=shop", "task=kettle", "min_turns=12", "disagree=any", "sort=surprise")
    times = []
    with _page(browser, link) as page:
        page.evaluate(_MEASURE, [f"#/run/{name}/traces?sort=surprise", _LIST_IS_THERE, 100])
        page.wait_for_function("!document.querySelector('[role=status]')", timeout=60_000)  # surprise is known
        for query in queries:
            page.evaluate(_MEASURE, [f"#/run/{name}/traces?task=nothing+has+this+{query}", _NOTHING_MATCHES, 0])
            times.append(page.evaluate(_MEASURE, [f"#/run/{name}/traces?{query}", _LIST_IS_THERE, 100]))
    return times


def _open_trace(browser: Browser, link: str, name: str, width: int) -> float:
    """From the list to the trace of 30 screenshots; in a wide window, until every one of them is drawn."""
    with _page(browser, link, width) as page:
        page.evaluate(_MEASURE, [f"#/run/{name}/traces?task=long-trace", _LIST_IS_THERE, 1])
        if width < 4000:
            condition, images = _TRACE_IS_THERE.replace("===", ">="), 12
        else:
            condition, images = _TRACE_IS_THERE, SCREENSHOTS + 2  # each turn, the end, and the stage
            page.evaluate("document.querySelector('main').style.maxWidth = 'none'")
        return page.evaluate(_MEASURE, ["table.traces a", condition, images])


def _memory(browser: Browser, link: str, name: str, server: psutil.Process) -> dict[str, Any]:
    """Megabytes (10^6 bytes) of the server, and of the page's process after a walk through lists and traces."""
    with _page(browser, link) as page:
        for offset in range(0, 1000, 100):
            page.evaluate(_MEASURE, [f"#/run/{name}/traces?offset={offset}", _LIST_IS_THERE, 100])
            page.evaluate(_MEASURE, ["table.traces a", "document.querySelector('.trace-page .screen img')", 0])
            for _ in range(5):
                page.keyboard.press("ArrowRight")
        renderers = [
            child for child in psutil.Process().children(recursive=True) if "--type=renderer" in child.cmdline()
        ]
        page_bytes = max((child.memory_full_info().uss for child in renderers), default=0)
    server_bytes = server.memory_info().rss
    return {
        "memory_mb": round((server_bytes + page_bytes) / 1e6),
        "memory_server_mb": round(server_bytes / 1e6),
        "memory_page_mb": round(page_bytes / 1e6),
    }


def _axe(browser: Browser, link: str, name: str, axe: Path) -> tuple[int | None, str]:
    """Serious and critical violations of axe-core's rules over all pages, light, dark and at phone width."""
    if not axe.exists():
        return None, f"{axe} is not here"
    pages = ("", f"run/{name}", f"run/{name}/traces", f"run/{name}/trace/long-trace?turn=3", f"run/{name}/tasks",
             f"run/{name}/labels", "results", f"side?run={name}&a=long-trace&b=trace-00000")  # fmt: skip
    found: list[str] = []
    for width, dark in ((1400, False), (1400, True), (390, False)):
        with _page(browser, link, width, dark) as page:
            page.evaluate(axe.read_text(encoding="utf-8"))
            for path in pages:
                page.goto(f"{link.split('#')[0]}#/{path}")
                page.wait_for_selector("h1")
                page.wait_for_timeout(300)
                violations = page.evaluate("axe.run().then((result) => result.violations)")
                found += [
                    f"{rule['id']} on /{path} ({width}px{', dark' if dark else ''})"
                    for rule in violations
                    if rule["impact"] in ("serious", "critical")
                ]
    return len(found), "; ".join(found)


def _claims(figures: dict[str, Any], options: Options) -> list[Claim]:
    setting = (
        f"Run of {options.traces:,} traces of {options.turns} turns with 1280x720 screenshots (made up); load average "
        f"{figures['load']} at the start; medians of {options.repeats}."
    )
    list_note = (
        f"{setting} From the click to 100 rows painted, empty browser cache. Worst {figures['list_10k_worst_ms']} ms; "
        f"first list after the server's start {figures['list_first_ms']} ms; filters and orders "
        f"{figures['filter_or_sort_median_ms']} ms (worst {figures['filter_or_sort_worst_ms']} ms)."
    )
    trace_note = (
        f"{setting} A window 5,000 pixels wide, so that no image is left for later. Worst "
        f"{figures['trace_30_images_worst_ms']} ms; in a 1,400 pixel window, until what is visible is drawn: "
        f"{figures['trace_visible_ms']} ms."
    )
    memory_note = (
        f"10^6 bytes: server {figures['memory_server_mb']} (resident) and the page's own process "
        f"{figures['memory_page_mb']} (unshared), after ten lists and ten traces."
    )
    return [
        Claim("list_10k_ms", "A list of 10,000 traces opens quickly", figures["list_10k_ms"], "<= 300", note=list_note),
        Claim(
            "trace_30_images_ms",
            "A trace with 30 screenshots is drawn whole quickly",
            figures["trace_30_images_ms"],
            "<= 500",
            note=trace_note,
        ),
        Claim("memory_mb", "Server and page stay small", figures["memory_mb"], "<= 300", note=memory_note),
        Claim(
            "axe_serious",
            "No serious or critical violation of axe-core's rules on any page",
            figures["axe_serious"],
            "== 0",
            note=f"axe-core 4.14.1; light, dark, phone width. {re.sub(r'^$', 'None found.', figures['axe_found'])}",
        ),
    ]
