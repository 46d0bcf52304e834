"""`turnsmith bench soak`: an hour of everything at once while processes are killed; what may not happen is counted.

- Browser sessions play random actions on the local sites, and phones random gestures; every so often a process of
  their Chromium is killed. The episodes that it takes with it end as infra errors; the session must go on after it.
- A writer appends traces to a run and says of each that it is stored; it is killed with `kill -9` and begun again.
  Everything that it said must be there.
- The viewer shows that run to clients, some of which are slow or ask for nonsense; it is killed and begun again.
- Damaged input goes to every reader (`bench.fuzz`).
"""

import asyncio
import contextlib
import http.client
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import psutil
import tyro

from turnsmith.bench.browser import local_tasks, random_action
from turnsmith.bench.fuzz import Fuzzed, fuzz
from turnsmith.bench.soak_writer import trace_of
from turnsmith.envs.base import Session
from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig
from turnsmith.envs.device import DeviceEnvironment
from turnsmith.errors import InfraError, UserError
from turnsmith.evaluate.claims import Claim, record
from turnsmith.options import parse_options
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Call, Observation, Task
from turnsmith.worlds.phone import ROUGH, LocalPhones
from turnsmith.worlds.phone.tasks import generate
from turnsmith.worlds.sites.server import LocalSites

_FULL = 60.0
_EPISODE = 10
_AFTER_KILL = 30.0
"""Seconds within which an infra error is put down to the last kill of a process of Chromium."""
_TRIES = 8
"""Resets in a row that may fail before a session counts as lost."""
_WARM = 0.2
"""The part of the time at the start in which memory may still grow."""
_REQUESTS = (
    "runs", "pulse", "overview?run=run", "traces?run=run", "trace?run=run&id=soak-0", "results", "tasks?run=run",
    "trace?run=run&id=%00", "image?run=run&digest=..%2f..%2fx", "traces?run=run&offset=-1&limit=1e400",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """How long, and how hard.

    Attributes:
        minutes: claims are recorded from 60 on.
        sessions: browser sessions at once.
        phones: at once.
        kill_seconds: mean time between two kills of each kind.
        seed: of actions, gestures, kills and damage.
        results: the folder for results/bench_soak.json.
    """

    minutes: float = _FULL
    sessions: int = 3
    phones: int = 2
    kill_seconds: float = 90.0
    seed: int = 0
    results: Annotated[Path, tyro.conf.arg(help="the folder of results")] = Path("results")


@dataclass(slots=True)
class Soak:
    """What happened so far."""

    end: float
    steps: int = 0
    episodes: int = 0
    taken: int = 0
    """Episodes that a kill took."""
    lost_sessions: int = 0
    acknowledged: int = 0
    lost_acknowledged: int = 0
    requests: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    last_kill: float = -1e9
    untyped: list[str] = field(default_factory=list)
    fuzzed: Fuzzed = field(default_factory=Fuzzed)
    memory: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the start, MB of this process)."""

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.end

    def killed(self, what: str) -> None:
        """A process of Chromium was killed."""
        self.kills[what] = self.kills.get(what, 0) + 1
        self.last_kill = time.monotonic()

    def fault(self, where: str, error: BaseException) -> None:
        """Something was raised that has no name."""
        line = (str(error).strip() or "no message").splitlines()[0][:200]
        self.untyped.append(f"{where}: {type(error).__name__}: {line}")
        print(self.untyped[-1], file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Soak, print, and record the claims of a full hour."""
    options = parse_options(Options, argv, prog="turnsmith bench soak", description=__doc__)
    if options.minutes <= 0 or options.sessions < 1 or options.phones < 1 or options.kill_seconds <= 0:
        raise UserError("bench soak needs positive --minutes, --sessions, --phones and --kill-seconds.")
    with tempfile.TemporaryDirectory(prefix="turnsmith-soak-", ignore_cleanup_errors=True) as folder:
        soak = asyncio.run(_soak(Path(folder), options))
    print(_table(soak))
    if options.minutes < _FULL:
        print(f"Not recorded: the claims are about {_FULL:g} minutes.")
        return 0
    command = f"turnsmith bench soak --minutes {options.minutes:g}"
    print(f"recorded in {record('bench_soak', claims(soak, options), command, options.results)}")
    return 0


async def _soak(folder: Path, options: Options) -> Soak:
    soak = Soak(time.monotonic() + 60 * options.minutes)
    run = folder / "runs" / "run"
    run.mkdir(parents=True)
    (run / "config.json").write_text('{"recipe": "soak"}')
    environment = BrowserEnvironment(LocalSites(), sessions=options.sessions, observation=ObservationConfig())
    phones = DeviceEnvironment(LocalPhones(ROUGH), options.phones)
    sites, apps = local_tasks(options.seed), generate("general", "train", 50, options.seed)
    async with environment, phones:
        parts: list[Awaitable[None]] = [
            *(_play(soak, environment.session, sites, random_action, n) for n in range(options.sessions)),
            *(_play(soak, phones.session, apps, _gesture, 100 + n) for n in range(options.phones)),
            _kill_chromium(soak, options),
            _write(soak, run, options),
            _view(soak, folder, options),
            _fuzz(soak, folder, options.seed),
            _watch_memory(soak),
        ]
        await asyncio.gather(*parts)
    return soak


def _gesture(_: Observation, source: random.Random) -> Action:
    """A tap (70 %), a swipe (15 %), a text or a key."""
    choice = source.random()
    if choice < 0.7:
        call = Call("tap", {"y": source.random(), "x": source.random()})
    elif choice < 0.85:
        call = Call("swipe", {"y": 0.8, "x": 0.5, "to_y": source.random(), "to_x": 0.5})
    elif choice < 0.95:
        call = Call("type", {"text": source.choice(("lamp", "ebay.com", "weather 🙂"))})
    else:
        call = Call("press", {"key": source.choice(("back", "home", "enter"))})
    return Action(call.name, call)


async def _play(
    soak: Soak,
    session_of: Callable[[], contextlib.AbstractAsyncContextManager[Session]],
    tasks: Sequence[Task],
    act: Callable[[Observation, random.Random], Action],
    number: int,
) -> None:
    """Episodes of one session after another, until the time is over. One that fails is followed by another."""
    source, failed = random.Random(f"play/{number}"), 0
    while not soak.over:
        try:
            async with session_of() as session:
                observation = await session.reset(source.choice(tasks), source.randrange(2**31))
                failed = 0
                for _ in range(_EPISODE):
                    observation = (await session.step(act(observation, source))).observation
                    soak.steps += 1
                soak.episodes += 1
        except InfraError as error:
            failed += 1
            if time.monotonic() - soak.last_kill > _AFTER_KILL or failed == _TRIES:
                soak.lost_sessions += 1
                print(f"lost: {error}", file=sys.stderr, flush=True)
            else:
                soak.taken += 1
        except Exception as error:
            soak.fault("session", error)
            await asyncio.sleep(1)


async def _kill_chromium(soak: Soak, options: Options) -> None:
    """Kill a process of a Chromium of ours now and then: a renderer mostly, sometimes the browser itself."""
    source = random.Random(f"kill/{options.seed}")
    while not await _pause(soak, source.expovariate(1 / options.kill_seconds)):
        found: dict[bool, list[psutil.Process]] = {True: [], False: []}
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if "chrom" in process.name() or "headless" in process.name():
                    kind = next((word for word in words if word.startswith("--type=")), "")
                    if kind in ("", "--type=renderer"):
                        found[not kind].append(process)
        whole = source.random() < 0.3
        if found[whole]:
            with contextlib.suppress(psutil.Error):
                source.choice(found[whole]).kill()
                soak.killed("browser" if whole else "renderer")


async def _pause(soak: Soak, seconds: float) -> bool:
    """Wait; whether the time is over."""
    await asyncio.sleep(max(0.0, min(seconds, soak.end - time.monotonic())))
    return soak.over


async def _write(soak: Soak, run: Path, options: Options) -> None:
    """Have a process write traces, kill it again and again, and look whether all that it said is there."""
    source, first = random.Random(f"write/{options.seed}"), 0
    while not soak.over:
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "turnsmith.bench.soak_writer", str(run), str(first), stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        said: list[int] = []
        until = time.monotonic() + 2 + source.expovariate(3 / options.kill_seconds)
        while time.monotonic() < min(until, soak.end):
            try:
                line = await asyncio.wait_for(writer.stdout.readline(), 1)
            except TimeoutError:
                continue
            if not line:
                soak.fault("writer", RuntimeError(f"ended by itself with status {await writer.wait()}"))
                break
            said.append(int(line))
        with contextlib.suppress(ProcessLookupError):
            writer.kill()
        soak.kills["writer"] = soak.kills.get("writer", 0) + 1
        rest = (await writer.stdout.read()).decode().splitlines()
        said += [int(line) for line in rest if line.isdigit()]  # the last may be torn, and then was not said
        await writer.wait()
        soak.acknowledged += len(said)
        missing, first = await asyncio.to_thread(_check_store, run / "run.db", said, first)
        soak.lost_acknowledged += missing


def _check_store(path: Path, said: Sequence[int], first: int) -> tuple[int, int]:
    """How many of these traces are missing or differ, and the first number that is free."""
    missing = 0
    if not path.exists():
        return len(said), first
    with Store(path) as store:
        for number in said:
            try:
                stored, made = store.get(f"soak-{number}"), trace_of(number)
                same = [turn.action for turn in stored.turns] == [turn.action for turn in made.turns]
                pictures = [
                    store.image(image.digest).data for turn in stored.turns for image in turn.observation.images
                ]
                wanted = [image.data for turn in made.turns for image in turn.observation.images]
                missing += not (same and pictures == wanted)
            except UserError:
                missing += 1
        return missing, store.count()


async def _view(soak: Soak, folder: Path, options: Options) -> None:
    """Show the run to clients, and kill the viewer now and then."""
    source = random.Random(f"view/{options.seed}")
    while not soak.over:
        viewer = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "turnsmith.cli", "view", "--port", "0", cwd=folder, stdout=asyncio.subprocess.PIPE
        )
        assert viewer.stdout is not None
        try:
            link = re.match(r"http://127\.0\.0\.1:(\d+)/#token=(\S+)", (await viewer.stdout.readline()).decode())
            if link is None:
                soak.fault("viewer", RuntimeError(f"ended by itself with status {await viewer.wait()}"))
                continue
            end = min(soak.end, time.monotonic() + 5 + source.expovariate(1 / options.kill_seconds))
            await asyncio.to_thread(_ask, soak, int(link[1]), link[2], end, source.random())
        finally:
            with contextlib.suppress(ProcessLookupError):
                viewer.kill()
            soak.kills["viewer"] = soak.kills.get("viewer", 0) + 1
            await viewer.wait()


def _ask(soak: Soak, port: int, token: str, end: float, seed: float) -> None:
    """Ask the viewer for data and for nonsense; an answer of 500 is a fault. A slow client stands beside."""
    source = random.Random(seed)
    slow = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.suppress(OSError):
        slow.connect()
        slow.sock.sendall(b"GET /api/runs HTTP/1.1\r\n")
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        path = source.choice(_REQUESTS)
        try:
            connection.request("GET", f"/api/{path}", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            soak.requests += 1
            if answer.status >= 500:
                soak.fault("viewer", RuntimeError(f"{answer.status} to /api/{path}"))
        except (OSError, http.client.HTTPException) as error:
            soak.fault("viewer", error)
        finally:
            connection.close()
        time.sleep(0.1)
    slow.close()


async def _fuzz(soak: Soak, folder: Path, seed: int) -> None:
    """Damaged input for every reader, a few rounds at a time so that the others get their turn."""
    place, number = folder / "fuzz", seed << 32
    place.mkdir()
    while not soak.over:
        before = len(soak.fuzzed.untyped)
        await asyncio.to_thread(fuzz, place, number, 5, soak.fuzzed)
        for fault in soak.fuzzed.untyped[before:]:
            print(fault, file=sys.stderr, flush=True)
        number += 1
        await asyncio.sleep(0.5)


async def _watch_memory(soak: Soak) -> None:
    begun, process = time.monotonic(), psutil.Process()
    while not soak.over:
        soak.memory.append((time.monotonic() - begun, process.memory_info().rss / 1e6))
        await asyncio.sleep(5)


def growth(memory: Sequence[tuple[float, float]]) -> float | None:
    """MB an hour by which memory grew after the warm-up: the median slope of pairs (Theil and Sen); None of too few."""
    if not memory:
        return None
    warm = [row for row in memory if row[0] >= _WARM * memory[-1][0]]
    chosen = warm[:: max(1, len(warm) // 200)]
    slopes = [(b - a) / (t - s) for i, (s, a) in enumerate(chosen) for t, b in chosen[i + 1 :] if t > s]
    return None if len(chosen) < 4 else 3600 * statistics.median(slopes)


def _table(soak: Soak) -> str:
    grown = growth(soak.memory)
    rows = {
        "steps of browsers and phones": soak.steps,
        "episodes finished; taken by a kill": f"{soak.episodes}; {soak.taken}",
        "processes killed": ", ".join(f"{count} {name}" for name, count in sorted(soak.kills.items())) or "none",
        "lost sessions": soak.lost_sessions,
        "traces acknowledged; of these lost": f"{soak.acknowledged}; {soak.lost_acknowledged}",
        "requests to the viewer": soak.requests,
        "damaged inputs; refused as they may be": f"{soak.fuzzed.inputs}; {soak.fuzzed.refused}",
        "errors without a name": len(soak.untyped) + len(soak.fuzzed.untyped),
        "growth of memory, MB an hour": "too short to say" if grown is None else f"{grown:.1f}",
    }
    return "\n".join(f"{name:40} {value}" for name, value in rows.items())


def claims(soak: Soak, options: Options) -> list[Claim]:
    """What is recorded of a soak."""
    grown = growth(soak.memory)
    untyped = soak.untyped + soak.fuzzed.untyped
    kills = ", ".join(f"{count} {name}" for name, count in sorted(soak.kills.items()))
    setting = (
        f"{options.minutes:g} minutes, {options.sessions} browser sessions, {options.phones} phones, a writer, the "
        f"viewer and fuzzed readers at once; killed: {kills}; {soak.taken} episodes went with a killed process"
    )
    return [
        Claim("steps", "steps of browsers and phones while processes are killed", soak.steps, note=setting),
        Claim("lost_sessions", "sessions that did not go on, or failed with nothing killed", soak.lost_sessions, "== 0",
              note=setting),
        Claim("lost_acknowledged", f"of {soak.acknowledged:,} traces said to be stored before a kill -9, those missing",
              soak.lost_acknowledged, "== 0", note=setting),
        Claim("rss_growth_mb_per_hour", "growth of the driving process's memory, MB an hour after the warm-up",
              None if grown is None else round(grown, 1), note=setting),
        Claim("untyped_errors", "errors that have no name, answers of 500 among them", len(untyped), "== 0",
              note="; ".join(untyped[:5]) or f"{soak.requests:,} requests to the viewer"),
        Claim("fuzzed_inputs", "damaged inputs given to readers", soak.fuzzed.inputs,
              note=f"{soak.fuzzed.refused:,} refused by a named error"),
    ]  # fmt: skip
