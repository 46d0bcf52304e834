"""Let the demonstrator play many tasks of the local sites in real Chromium, and print a table by template.

    .venv/bin/python scripts/sweep_sites.py --sites shop forum --count 200 --split test --noise 0.3

It shows whether every template can be solved, in how many steps, whether the promised `needed_steps` hold, and how long
the element lists are that a model has to read.
"""

import argparse
import asyncio
import json
from collections import defaultdict
from pathlib import Path
from statistics import mean, quantiles

from turnsmith.envs.browser.environment import BrowserEnvironment
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.trace.types import Trace
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.demonstrator import Demonstrator
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", nargs="+", default=list(SITES))
    parser.add_argument("--split", default="train")
    parser.add_argument("--templates", nargs="+")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--wander", type=float, default=0.0)
    parser.add_argument("--detour", type=float, default=0.0)
    parser.add_argument("--roam", type=float, default=0.0)
    parser.add_argument("--long", action="store_true", help="the long family of templates")
    parser.add_argument("--horizon", type=int, default=30)
    parser.add_argument("--viewport", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--show", type=int, default=0, help="print this many failures or detours")
    parser.add_argument("--save", type=Path, help="write one JSON line an episode")
    asyncio.run(sweep(parser.parse_args()))


async def sweep(options: argparse.Namespace) -> None:
    tasks = generate(options.sites, options.split, options.count, options.seed, options.templates, options.long)
    policy = Demonstrator(tasks, options.noise, options.wander, options.seed, detour=options.detour, roam=options.roam)
    episodes = [Episode(task.id, task, options.seed) for task in tasks]
    async with BrowserEnvironment(LocalSites(viewport=options.viewport), options.workers) as environment:
        traces = await collect(environment, policy, episodes, Limits(options.horizon), workers=options.workers)
    report(traces)
    odd = [trace for trace in traces if not trace.reward() or (not options.noise and len(trace.turns) != needed(trace))]
    for trace in odd[: options.show]:
        show(trace)
    if options.save:
        rows = [
            {"id": t.id, "reward": t.reward(), "steps": len(t.turns), "outcome": t.outcome, "needed": needed(t)}
            for t in traces
        ]
        options.save.write_text("".join(json.dumps(row) + "\n" for row in rows))


def needed(trace: Trace) -> int:
    return trace.task.params["needed_steps"]


def report(traces: list[Trace]) -> None:
    kinds: dict[str, list[Trace]] = defaultdict(list)
    for trace in traces:
        kinds["{site}/{template}".format(**trace.task.params)].append(trace)
    kinds = {**dict(sorted(kinds.items())), "all": traces}
    columns = "success  steps  needed as-needed  chars    p95  marks  max"
    print(f"{'template':24} {'n':>4} {columns}")
    for kind, some in kinds.items():
        looks = [turn.observation for trace in some for turn in trace.turns]
        sizes = [len(look.text) for look in looks]
        marks = [len(look.info["elements"]) for look in looks]
        good = [trace for trace in some if trace.reward()]
        print(
            f"{kind:24} {len(some):4} {len(good) / len(some):7.1%} {mean(len(t.turns) for t in some):6.2f} "
            f"{mean(needed(t) for t in some):7.2f} {mean(len(t.turns) == needed(t) for t in some):9.0%} "
            f"{mean(sizes):6.0f} {quantiles(sizes, n=20)[-1]:6.0f} {mean(marks):6.1f} {max(marks):4}"
        )


def show(trace: Trace, most: int = 12) -> None:
    print(
        f"\n{trace.id}  {trace.outcome}  {[verdict.reason for verdict in trace.verdicts]}\n  {trace.task.instruction}"
    )
    for turn in trace.turns[:most]:
        print(f"  [{turn.observation.info.get('title')}] {turn.observation.error}")
        print("    " + turn.observation.text.replace("\t", " ")[:900])
        print("    " + turn.action.text.replace("\n", " / "))


if __name__ == "__main__":
    main()
