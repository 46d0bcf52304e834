"""`turnsmith bench device`: how fast the local phones are, from a tap to the array that a policy reads.

The scripted demonstrator first plays episodes in rough weather and its actions are noted. They are then played again
from the notes, which needs no boxes, with 1, 2, 4 and 8 phones at once; since a phone shows the same screens for the
same seed and actions, this is also a test of that. A step is an action of the AitW grammar, the picture of what it led
to (JPEG, 360 by 760), and that picture decoded and shrunk to the policy's input. Steps a second are steps over the
whole wall-clock time, resets included.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from turnsmith.agents.frames import frame_of
from turnsmith.bench.browser import browser_memory, centiles, cpu_seconds
from turnsmith.envs.device import DeviceEnvironment
from turnsmith.errors import InfraError
from turnsmith.evaluate.claims import Claim, record
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.trace.types import Action, Task
from turnsmith.worlds.phone import ROUGH, ChromiumPhone, LocalPhones
from turnsmith.worlds.phone.demonstrator import Demonstrator
from turnsmith.worlds.phone.tasks import generate

PHONES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured.

    Attributes:
        episodes: how many different ones are recorded, half of them WebShop-like.
        seconds: how long each number of phones is measured.
        seed: of tasks and episodes.
        results: the folder for results/bench_device.json.
    """

    episodes: int = 40
    seconds: float = 20.0
    seed: int = 0
    results: Annotated[Path, tyro.conf.arg(help="the folder of results")] = Path("results")


@dataclass(frozen=True, slots=True)
class Recorded:
    """An episode to be played again: its actions, and the digest of every picture."""

    task: Task
    seed: int
    actions: tuple[Action, ...]
    pictures: tuple[str, ...]


@dataclass(slots=True)
class Measured:
    """What one number of phones gave. Times in seconds, memory in MiB."""

    phones: int
    wall: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    load: float = 0.0
    lost: int = 0
    other: int = 0
    steps: list[float] = field(default_factory=list)
    resets: list[float] = field(default_factory=list)
    inputs: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Steps a second, resets included."""
        return len(self.steps) / self.wall

    @property
    def busy(self) -> float:
        """Steps a second while no phone was being reset."""
        return self.phones * len(self.steps) / sum(self.steps)


def main(argv: list[str]) -> int:
    """Measure, print, and record the claims."""
    options = tyro.cli(Options, args=argv, prog="turnsmith bench device", description=__doc__)
    recorded = asyncio.run(record_episodes(options))
    measured = [asyncio.run(measure(recorded, phones, options)) for phones in PHONES]
    print(table(measured))
    path = record("bench_device", _claims(measured), "turnsmith bench device", options.results)
    print(f"recorded in {path}")
    return 0


async def record_episodes(options: Options) -> list[Recorded]:
    """Let the demonstrator that knows everything play; what it did, on phones in rough weather."""
    from turnsmith.judges.base import Oracle

    half = options.episodes // 2
    tasks = [
        task
        for pair in itertools.zip_longest(
            generate("webshop", "train", options.episodes - half, options.seed),
            generate("general", "train", half, options.seed),
        )
        for task in pair
        if task is not None
    ]
    environment = DeviceEnvironment(LocalPhones(ROUGH), 4, script=ChromiumPhone.boxes)  # type: ignore
    async with environment:
        episodes = [Episode(task.id, task, options.seed + number) for number, task in enumerate(tasks)]
        demonstrator = Demonstrator(tasks, "all")
        traces = await collect(
            environment, demonstrator, episodes, Limits(20), workers=4, judge=Oracle(), judged="step"
        )
    return [
        Recorded(
            trace.task,
            trace.seed,
            tuple(turn.action for turn in trace.turns),
            tuple(turn.observation.images[0].digest for turn in trace.turns),
        )
        for trace in traces
    ]


async def measure(recorded: Sequence[Recorded], phones: int, options: Options) -> Measured:
    """Play the recorded episodes again and again with so many phones."""
    measured = Measured(phones)
    numbers = itertools.count()
    environment = DeviceEnvironment(LocalPhones(ROUGH), phones)

    async def play(end: float) -> None:
        async with environment.session() as session:
            while time.perf_counter() < end:
                one = recorded[next(numbers) % len(recorded)]
                try:
                    begin = time.perf_counter()
                    observation = await session.reset(one.task, one.seed)
                    measured.resets.append(time.perf_counter() - begin)
                    for action, picture in zip(one.actions, one.pictures, strict=True):
                        measured.other += observation.images[0].digest != picture
                        begin = time.perf_counter()
                        observation = (await session.step(action)).observation
                        seen = time.perf_counter()
                        frame_of(observation.images[0].data or b"")
                        measured.inputs.append(time.perf_counter() - seen)
                        measured.steps.append(time.perf_counter() - begin)
                        if time.perf_counter() >= end:
                            break
                except InfraError as error:
                    measured.lost += 1
                    print(f"lost: {error}", flush=True)

    async with environment:
        await asyncio.gather(*(play(time.perf_counter() + 2) for _ in range(phones)))  # warm up
        for times in (measured.steps, measured.resets, measured.inputs):
            times.clear()
        measured.load = os.getloadavg()[0]
        cpu, begin = cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(play(begin + options.seconds) for _ in range(phones)))
        measured.wall = time.perf_counter() - begin
        measured.cpu = cpu_seconds() - cpu
        measured.memory = await asyncio.to_thread(browser_memory)
    return measured


def table(measured: Sequence[Measured]) -> str:
    """The figures as text."""
    head = [
        "phones", "steps", "steps/s", "without resets", "step p50 ms", "p95", "reset p50 ms", "p95", "input ms",
        "CPU ms/step", "MiB", "lost", "other pictures",
    ]  # fmt: skip
    rows = [head]
    for phone in measured:
        times = (*centiles(phone.steps), *centiles(phone.resets), sum(phone.inputs) / len(phone.inputs))
        rows.append([
            str(phone.phones), str(len(phone.steps)), f"{phone.per_second:.1f}", f"{phone.busy:.1f}",
            *(f"{1000 * figure:.1f}" for figure in times), f"{1000 * phone.cpu / len(phone.steps):.0f}",
            f"{phone.memory:.0f}", str(phone.lost), str(phone.other),
        ])  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _claims(measured: Sequence[Measured]) -> list[Claim]:
    claims = []
    for phone in measured:
        (step, slow), (reset, slow_reset) = centiles(phone.steps), centiles(phone.resets)
        note = (
            f"resets included ({phone.busy:.1f} without), JPEG 360x760 decoded and shrunk to 190x90 included; step p50 "
            f"{1000 * step:.0f} ms, p95 {1000 * slow:.0f} ms; reset p50 {1000 * reset:.0f} ms, p95 "
            f"{1000 * slow_reset:.0f} ms; {1000 * phone.cpu / len(phone.steps):.0f} ms of CPU a step; "
            f"{phone.memory:.0f} MiB of Chromium (PSS); {phone.lost} episodes lost; load average "
            f"{phone.load:.1f} at the start"
        )
        goal = ">= 25" if phone.phones == 4 else ""
        words = f"steps a second of {phone.phones} local phones together, from action to policy input"
        claims.append(Claim(f"steps_per_s_{phone.phones}", words, round(phone.per_second, 1), goal, note=note))
    pictures = sum(len(phone.steps) for phone in measured)
    other = sum(phone.other for phone in measured)
    claims.append(
        Claim(
            "other_pictures",
            f"pictures that differ in any byte when the same actions are played again, of {pictures:,}",
            other,
            "== 0",
            note="recorded with boxes and 4 phones, played again with 1 to 8",
        )
    )
    return claims
