"""`turnsmith bench browser`: how fast the browser environment is, and whether it loses sessions.

A seeded random policy plays episodes of ten steps on the local sites, with element list and JPEG screenshot: it clicks,
types a word of the page, scrolls and goes back. Steps a second are steps over the whole wall-clock time, resets
included. So many logical sessions play at once; contexts are bounded by `--contexts`, so some of 16 or 64 wait.
"""

import asyncio
import os
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import psutil
import tyro

from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig
from turnsmith.errors import InfraError
from turnsmith.evaluate.claims import Claim, record
from turnsmith.options import parse_options
from turnsmith.trace.types import Action, Call, Observation, Task
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate

LOGICAL = (1, 4, 8, 16, 64)
EPISODE = 10


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured.

    Attributes:
        steps: how many with 8 logical sessions; with other numbers of sessions a tenth of it.
        contexts: how many episodes are played at once at most.
        screenshot: "plain" or "marked".
        seed: of the policy and of the choice of tasks.
        results: the folder for results/bench_browser.json.
    """

    steps: int = 5000
    contexts: int = 8
    screenshot: str = "plain"
    seed: int = 0
    results: Annotated[Path, tyro.conf.arg(help="the folder of results")] = Path("results")


@dataclass(slots=True)
class Measured:
    """What one number of logical sessions gave. Times in seconds, memory in MiB."""

    logical: int
    wall: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    lost: int = 0
    steps: list[float] = field(default_factory=list)
    resets: list[float] = field(default_factory=list)

    def row(self) -> list[str]:
        """One row of the printed table."""
        return [
            str(self.logical),
            str(len(self.steps)),
            f"{len(self.steps) / self.wall:.1f}",
            *(f"{1000 * figure:.0f}" for figure in (*centiles(self.steps), *centiles(self.resets))),
            f"{1000 * self.cpu / len(self.steps):.0f}",
            f"{self.memory:.0f}",
            str(self.lost),
        ]


def main(argv: list[str]) -> int:
    """Measure, print, and record the claims."""
    options = parse_options(Options, argv, prog="turnsmith bench browser", description=__doc__)
    load = os.getloadavg()[0]
    tasks = local_tasks(options.seed)
    measured = [asyncio.run(measure(tasks, logical, options)) for logical in LOGICAL]
    print(table(measured))
    path = record("bench_browser", _claims(measured, options, load), "turnsmith bench browser", options.results)
    print(f"recorded in {path}")
    return 0


def local_tasks(seed: int, count: int = 150) -> list[Task]:
    """Training tasks of all local sites, in a seeded order."""
    tasks = generate(list(SITES), "train", count, seed)
    random.Random(seed).shuffle(tasks)
    return tasks


def random_action(observation: Observation, source: random.Random) -> Action:
    """A click (70 %), typing a word of the page (10 %), a scroll (15 %) or going back (5 %)."""
    elements = observation.info["elements"]
    fields = [
        element["mark"]
        for element in elements
        if element["tag"] == "input" and element.get("type") in ("text", "search")
    ]
    words = [word for element in elements for word in element["text"].split()] or ["word"]
    choice = source.random()
    if choice < 0.70 and elements:
        call = Call("click", {"mark": source.randrange(len(elements))})
    elif choice < 0.80 and fields:
        call = Call("type", {"mark": source.choice(fields), "text": source.choice(words)})
    elif choice < 0.95:
        call = Call("scroll", {"direction": source.choice(["up", "down"]), "target": "window"})
    else:
        call = Call("go_back")
    return Action(call.name, call)


async def measure(tasks: Sequence[Task], logical: int, options: Options) -> Measured:
    """Play with so many logical sessions."""
    budget = options.steps if logical == 8 else max(options.steps // 10, EPISODE * logical)
    measured = Measured(logical)
    shot = ObservationConfig(page_text=False, screenshot="marked" if options.screenshot == "marked" else "plain")
    environment = BrowserEnvironment(LocalSites(), sessions=min(logical, options.contexts), observation=shot)
    episodes = iter(range(10**9))
    taken = 0

    async def play() -> None:
        nonlocal taken
        while taken < budget:
            number = next(episodes)
            source = random.Random(f"{options.seed}/{logical}/{number}")
            async with environment.session() as session:
                try:
                    begin = time.perf_counter()
                    observation = await session.reset(tasks[number % len(tasks)], number)
                    measured.resets.append(time.perf_counter() - begin)
                    for _ in range(EPISODE):
                        if taken >= budget:
                            return
                        taken += 1
                        begin = time.perf_counter()
                        observation = (await session.step(random_action(observation, source))).observation
                        measured.steps.append(time.perf_counter() - begin)
                except InfraError as error:
                    measured.lost += 1
                    print(f"lost: {error}", flush=True)

    async with environment:
        watch = asyncio.ensure_future(_watch_memory(measured))
        cpu, begin = cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(play() for _ in range(logical)))
        measured.wall = time.perf_counter() - begin
        measured.cpu = cpu_seconds() - cpu
        watch.cancel()
    return measured


async def _watch_memory(measured: Measured) -> None:
    """Keep the largest sum of the browser's proportional set sizes, looked at every two seconds."""
    while True:
        await asyncio.sleep(2)
        measured.memory = max(measured.memory, await asyncio.to_thread(browser_memory))


def _family() -> list[psutil.Process]:
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def cpu_seconds() -> float:
    """CPU time of this process (policy, driver and web server), Playwright's driver and the browser's processes.

    The renderers of episodes that ended were waited for by the browser, whose children's time counts as well.
    """
    total = 0.0
    for process in _family():
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def browser_memory() -> float:
    """MiB of the browser's processes; what they share counts once."""
    total = 0
    for process in _family()[1:]:
        try:
            if "chrom" in process.name() or "headless" in process.name():
                total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


def centiles(times: Sequence[float]) -> tuple[float, float]:
    """(p50, p95) in seconds."""
    if len(times) < 2:
        return (times[0], times[0]) if times else (float("nan"), float("nan"))
    cuts = statistics.quantiles(times, n=20, method="inclusive")
    return cuts[9], cuts[18]


def table(measured: Sequence[Measured]) -> str:
    """The figures as text."""
    head = ["sessions", "steps", "steps/s", "step p50 ms", "p95", "reset p50 ms", "p95", "CPU ms/step", "MiB", "lost"]
    rows = [head, *(session.row() for session in measured)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _claims(measured: Sequence[Measured], options: Options, load: float) -> list[Claim]:
    by_logical = {session.logical: session for session in measured}
    eight, one = by_logical[8], by_logical[1]
    lost, steps = sum(each.lost for each in measured), sum(len(each.steps) for each in measured)
    setting = (
        f"local sites, element list and {options.screenshot} JPEG 1024x768, at most {options.contexts} contexts, "
        f"episodes of {EPISODE} random steps, resets included; load average {load:.1f} at the start"
    )
    claims = [
        Claim("steps_per_s_8", "steps a second with 8 sessions", round(len(eight.steps) / eight.wall, 1), ">= 15",
              note=setting),
        Claim("reset_p50_s", "median reset of a lone session, in seconds", round(centiles(one.resets)[0], 3), "<= 0.2",
              note=setting),
        Claim("lost_sessions", f"sessions lost in {steps:,} steps", lost, "== 0", note=setting),
    ]  # fmt: skip
    for each in measured:
        claims.append(
            Claim(
                f"steps_per_s_{each.logical}_table",
                f"steps a second with {each.logical} logical sessions",
                round(len(each.steps) / each.wall, 1),
                note=f"step p50 {centiles(each.steps)[0]:.3f} s, p95 {centiles(each.steps)[1]:.3f} s; reset p50 "
                f"{centiles(each.resets)[0]:.3f} s, p95 {centiles(each.resets)[1]:.3f} s; {each.memory:.0f} MiB of "
                f"Chromium (PSS); {1000 * each.cpu / len(each.steps):.0f} ms of CPU a step",
            )
        )
    return claims
