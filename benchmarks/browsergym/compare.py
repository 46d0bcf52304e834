"""Our browser driver beside BrowserGym: same pages, same steps, same seeds, same Chromium, in turns.

Run it in our environment; it starts `worker.py` in BrowserGym's (README.md says how to make that one). Every repetition
gives each contender the same fresh episodes, in an order that rotates, so that what else the machine does falls on all
of them. A claim is the median over the repetitions of the ratio of times in the same repetition; with six or more of
them, their range is an interval of at least 95 % for that median.
"""

import argparse
import asyncio
import json
import os
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from plans import PAGES, plan

from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig
from turnsmith.envs.browser.chromium import find_chromium
from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim, record
from turnsmith.trace.types import Action, Call, Task
from turnsmith.worlds.miniwob import MiniWob, miniwob_instructions

PICTURE = (498, 321)
"""Pixels of a screenshot, on both sides: BrowserGym's is of a 332x214 viewport at scale 1.5, ours of a larger one."""

EQUAL = ObservationConfig(elements=True, tree="viewport", screenshot="plain")
USUAL = ObservationConfig(elements=True, screenshot="marked")


@dataclass
class Block:
    """What one contender did in one repetition.

    Attributes:
        resets: seconds of each.
        steps: seconds of each.
        wall: seconds of the whole.
        late: steps that BrowserGym gave up waiting for (after 500 ms) although they came through; 0 on a quiet machine.
        load: the machine's load average at the end.
        cpu: processor seconds of all processes involved, browsers included.
    """

    resets: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    wall: float = 0.0
    late: int = 0
    load: float = 0.0
    cpu: float = 0.0


@dataclass
class Contender:
    """One row of the table.

    Attributes:
        name: what the table calls it.
        play: plays the episodes of a repetition.
        blocks: one a repetition.
    """

    name: str
    play: Any
    blocks: list[Block] = field(default_factory=list)

    @property
    def row(self) -> list[str]:
        """Steps, median step and reset, steps a second while stepping and with resets."""
        steps = [second for block in self.blocks for second in block.steps]
        resets = [second for block in self.blocks for second in block.resets]
        wall = sum(block.wall for block in self.blocks)
        return [
            self.name,
            str(len(steps)),
            f"{1000 * statistics.median(steps):.0f}",
            f"{1000 * _p95(steps):.0f}",
            f"{1000 * statistics.median(resets):.0f}",
            f"{len(steps) / sum(steps):.1f}" if wall > 0.9 * (sum(steps) + sum(resets)) else "",
            f"{len(steps) / wall:.1f}",
            f"{1000 * sum(block.cpu for block in self.blocks) / len(steps):.0f}",
        ]


HEAD = [
    "",
    "steps",
    "step p50, ms",
    "step p95, ms",
    "reset p50, ms",
    "steps/s, stepping",
    "steps/s, with resets",
    "CPU a step with resets, ms",
]


def cpu_seconds() -> float:
    """What this process and its descendants, ended ones included, have used; only one contender works at a time."""
    total = 0.0
    for process in (own := psutil.Process(), *own.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _p95(values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.95))


class Worker:
    """BrowserGym in its own Python."""

    def __init__(self, python: Path, chromium: Path, pages: str, no_sleeps: bool) -> None:
        script = Path(__file__).with_name("worker.py")
        self._command = [str(python), str(script), "--chromium", str(chromium), *(["--no-sleeps"] * no_sleeps)]
        self._environment = {**os.environ, "MINIWOB_URL": pages}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        """Start it; returns BrowserGym's version."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
            limit=2**24,
        )
        return (await self._answer())["ready"]

    async def play(self, episodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Play episodes, one after the other."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(episodes).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise UserError("the BrowserGym worker died; its message stands above.")
        return json.loads(line)

    async def stop(self) -> None:
        """Let it end."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()


async def play_theirs(workers: Sequence[Worker], episodes: Sequence[dict[str, Any]]) -> Block:
    """The episodes in BrowserGym, shared out among its processes."""
    started = time.perf_counter()
    shares = [episodes[index :: len(workers)] for index in range(len(workers))]
    results = await asyncio.gather(*(worker.play(share) for worker, share in zip(workers, shares, strict=True)))
    block = Block(wall=time.perf_counter() - started)
    for share, played in zip(shares, results, strict=True):
        for episode, result in zip(share, played, strict=True):
            block.late += len(result["errors"])
            if result["goal"] != episode["goal"] or not (result["done"] and result["reward"] > 0):
                raise RuntimeError(f"BrowserGym did not do the same: {episode} {result}")
            block.resets.append(result["reset_s"])
            block.steps += result["step_s"]
    return block


async def play_ours(environment: BrowserEnvironment, sessions: int, episodes: Sequence[dict[str, Any]]) -> Block:
    """The episodes in our driver, `sessions` at once."""
    block = Block()
    queue = list(reversed(episodes))

    async def worker() -> None:
        async with environment.session() as session:
            while queue:
                episode = queue.pop()
                params = {"page": episode["page"], "seed": episode["page_seed"]}
                task = Task(episode["page"], episode["goal"], "browser", params)
                clock = time.perf_counter()
                observation = await session.reset(task, 0)
                block.resets.append(time.perf_counter() - clock)
                reward, done = 0.0, False
                for step in episode["steps"]:
                    action = Action("", to_call(step, observation.info["elements"]))
                    clock = time.perf_counter()
                    result = await session.step(action)
                    block.steps.append(time.perf_counter() - clock)
                    observation, reward, done = result.observation, result.reward, result.done
                    if observation.error:
                        raise RuntimeError(f"our driver did not do the same: {episode} {observation.error}")
                if not (done and reward > 0):
                    raise RuntimeError(f"our driver did not do the same: {episode} {reward}")

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(sessions)))
    block.wall = time.perf_counter() - started
    return block


def to_call(step: dict[str, Any], elements: Sequence[dict[str, Any]]) -> Call:
    """Our action for one step of a plan."""
    found = [
        element["mark"]
        for element in elements
        if role_of(element) == step["role"] and step["name"] in (None, element["text"], element["aria"])
    ]
    mark = found[step["nth"]]
    return Call("type", {"mark": mark, "text": step["text"]}) if step["do"] == "type" else Call("click", {"mark": mark})


def role_of(element: dict[str, Any]) -> str:
    """The accessibility role of an element of the list."""
    kind = element.get("type", "")
    return "textbox" if kind in ("text", "password") else kind or element["tag"]


async def make_episodes(repetitions: int, seed: int) -> list[list[dict[str, Any]]]:
    """The episodes of each repetition: one of each page, with seeds of their own."""
    drawn = []
    for repetition in range(repetitions):
        for index, page in enumerate(PAGES):
            gym_seed = seed + 1000 * repetition + index
            # BrowserGym draws the page's seed from the seed of `reset`, in this way
            page_seed = int(np.random.RandomState(gym_seed).randint(0, 1_000_000))
            drawn.append({"page": page, "seed": gym_seed, "page_seed": page_seed})
    goals = await miniwob_instructions([(one["page"], one["page_seed"], "train") for one in drawn])
    episodes = [{**one, "goal": goal, "steps": plan(one["page"], goal)} for one, goal in zip(drawn, goals, strict=True)]
    return [episodes[start : start + len(PAGES)] for start in range(0, len(episodes), len(PAGES))]


async def compare(python: Path, repetitions: int, seed: int) -> list[Contender]:
    """Run everything; prints a line a block."""
    chromium = find_chromium().path
    episodes = await make_episodes(repetitions, seed)
    async with AsyncExitStack() as stack:
        contenders = []
        environments = {}
        for name, config in (("equal", EQUAL), ("usual", USUAL)):
            environment = BrowserEnvironment(MiniWob(PICTURE), 8, config)
            environments[name] = await stack.enter_async_context(environment)
        pages = environments["equal"].host.origin + "/miniwob/"
        for name, no_sleeps, processes in (
            ("BrowserGym as shipped", False, 1),
            ("BrowserGym without its sleeps", True, 1),
            ("BrowserGym without its sleeps, 2 processes", True, 2),
        ):
            workers = [Worker(python, chromium, pages, no_sleeps) for _ in range(processes)]
            versions = await asyncio.gather(*(worker.start() for worker in workers))
            for worker in workers:
                stack.push_async_callback(worker.stop)
            print(f"{name}: {versions[0]}", flush=True)
            contenders.append(Contender(name, lambda block, workers=workers: play_theirs(workers, block)))
        for name, kind, sessions in (
            ("Turnsmith, equal contents", "equal", 1),
            ("Turnsmith, usual contents", "usual", 1),
            ("Turnsmith, equal contents, 4 sessions", "equal", 4),
            ("Turnsmith, usual contents, 4 sessions", "usual", 4),
        ):
            contenders.append(Contender(name, lambda block, e=environments[kind], n=sessions: play_ours(e, n, block)))
        for repetition, block in enumerate(episodes):
            turn = repetition % len(contenders)
            for contender in contenders[turn:] + contenders[:turn]:
                before = cpu_seconds()
                played = await contender.play(block)
                played.cpu, played.load = cpu_seconds() - before, os.getloadavg()[0]
                contender.blocks.append(played)
                print(
                    f"repetition {repetition + 1} of {repetitions}, load {played.load:.1f}: {contender.name}, "
                    f"{len(played.steps)} steps in {played.wall:.1f} s, {played.late} late",
                    flush=True,
                )
    return contenders


def ratios(slow: Contender, fast: Contender) -> list[float]:
    """How many times as long the steps of one took as those of the other, by repetition."""
    return [sum(a.steps) / sum(b.steps) for a, b in zip(slow.blocks, fast.blocks, strict=True)]


def print_table(contenders: Sequence[Contender]) -> None:
    """The table in Markdown."""
    for row in (HEAD, ["---"] + ["--:"] * (len(HEAD) - 1), *(contender.row for contender in contenders)):
        print("| " + " | ".join(row) + " |")


def main() -> None:
    """Read the command line, compare, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--browsergym",
        type=Path,
        default=os.environ.get("TURNSMITH_BROWSERGYM"),
        help="BrowserGym's virtual environment (or set TURNSMITH_BROWSERGYM)",
    )
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    python = Path(asked.browsergym or "") / "bin" / "python"
    if asked.browsergym is None or not python.exists():
        raise SystemExit(f"no BrowserGym environment at {asked.browsergym}. benchmarks/browsergym/README.md says how.")
    contenders = asyncio.run(compare(python, asked.repetitions, asked.seed))
    print_table(contenders)
    shipped, no_sleeps, _, equal, usual, *_ = contenders
    loads = [block.load for contender in contenders for block in contender.blocks]
    claims = []
    for name, slow, goal in (("shipped", shipped, ">= 10"), ("no_sleeps", no_sleeps, ">= 3")):
        found, at_usual = ratios(slow, equal), statistics.median(ratios(slow, usual))
        claims.append(
            Claim(
                f"vs_browsergym_{name}",
                f"steps a second of one session, at equal contents, over those of {slow.name}",
                round(statistics.median(found), 2),
                goal,
                baseline=round(1 / statistics.fmean(second for block in slow.blocks for second in block.steps), 2),
                ci95=(round(min(found), 2), round(max(found), 2)) if len(found) >= 6 else None,
                seeds=(asked.seed,),
                note=f"median of {len(found)} repetitions, resets not counted; {at_usual:.1f} at our usual contents; "
                f"load average {min(loads):.0f} to {max(loads):.0f}",
            )
        )
        print(f"{claims[-1].id}: {claims[-1].value} {claims[-1].ci95} (usual contents {at_usual:.1f})")
    # Where BrowserGym's environment lies is this machine's business.
    said = ["PATH_OF_ITS_ENVIRONMENT" if word == str(asked.browsergym) else word for word in sys.argv[1:]]
    record("bench_browser", claims, shlex.join(["python", "benchmarks/browsergym/compare.py", *said]))


if __name__ == "__main__":
    main()
