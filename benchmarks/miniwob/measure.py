"""Check MiniWoB++ on this machine: `python benchmarks/miniwob/measure.py sweep`, or `... solve [PAGE ...]`.

`sweep` loads every page of the wheel, acts on it, and says which did not step. `solve` plays the scripted policy and
prints the success of each page with its Wilson interval.
"""

import argparse
import asyncio
import time
from collections import Counter

from turnsmith.envs.browser import BrowserEnvironment
from turnsmith.errors import InfraError
from turnsmith.evaluate.stats import wilson
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.trace.types import Action, Call
from turnsmith.worlds.miniwob.host import FLIGHT_VIEWPORT, MiniWob
from turnsmith.worlds.miniwob.pages import list_pages
from turnsmith.worlds.miniwob.scripted import OBSERVATION, ScriptedMiniWob
from turnsmith.worlds.miniwob.solvers import SOLVERS
from turnsmith.worlds.miniwob.tasks import miniwob_tasks


async def sweep(steps: int) -> bool:
    """Load every page and click through its marks; True if every page loaded and stepped."""
    tasks = await miniwob_tasks(list_pages())
    counts: Counter[str] = Counter()
    environment = BrowserEnvironment(MiniWob(FLIGHT_VIEWPORT), sessions=1)
    async with environment, environment.session() as session:
        for task in tasks:
            try:
                seen, taken, done = await session.reset(task, 0), 0, False
                marks = len(seen.info["elements"])
                while taken < steps and not done:
                    call = Call("click", {"mark": taken % marks}) if marks else Call("wait")
                    step = await session.step(Action("", call))
                    taken, done, marks = taken + 1, step.done, len(step.observation.info["elements"])
                counts["stepped"] += 1
                counts["with marks"] += len(seen.info["elements"]) > 0
                counts["ended"] += done
            except InfraError as error:
                print(f"{task.params['page']:32} {error}")
    print(f"{len(tasks)} pages: " + ", ".join(f"{number} {what}" for what, number in counts.items()))
    return counts["stepped"] == len(tasks)


async def solve(pages: list[str], count: int, seed: int, sessions: int) -> bool:
    """Play the scripted policy; True if every page was solved in 95 % of its episodes."""
    tasks = await miniwob_tasks(pages, "test", count, seed)
    started = time.perf_counter()
    async with BrowserEnvironment(MiniWob(), sessions, OBSERVATION) as environment:
        episodes = [Episode(task.id, task, seed=0) for task in tasks]
        traces = await collect(environment, ScriptedMiniWob(), episodes, Limits(horizon=40), workers=sessions)
    seconds = time.perf_counter() - started
    good = 0
    print(f"{'page':30} solved        95 %         steps")
    for page in pages:
        played = [trace for trace in traces if trace.task.params["page"] == page]
        won = sum(trace.reward() == 1.0 for trace in played)
        low, high = wilson(won, len(played))
        steps = sum(len(trace.turns) for trace in played) / len(played)
        good += won >= 0.95 * len(played)
        print(f"{page:30} {won:3} of {len(played):3}   {low:.2f} to {high:.2f}   {steps:5.1f}")
    steps = sum(len(trace.turns) for trace in traces)
    print(f"{good} of {len(pages)} pages at 95 % or more; {steps} steps in {seconds:.0f} s")
    return good == len(pages)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    sweeping = verbs.add_parser("sweep", help="load and step every page")
    sweeping.add_argument("--steps", type=int, default=3, help="at most, on each page")
    solving = verbs.add_parser("solve", help="measure the scripted policy")
    solving.add_argument("pages", nargs="*", help="by default every page that it plays")
    solving.add_argument("--episodes", type=int, default=20, help="of each page")
    solving.add_argument("--seed", type=int, default=0)
    solving.add_argument("--sessions", type=int, default=4)
    asked = parser.parse_args()
    if asked.verb == "sweep":
        good = asyncio.run(sweep(asked.steps))
    else:
        good = asyncio.run(solve(asked.pages or list(SOLVERS), asked.episodes, asked.seed, asked.sessions))
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
