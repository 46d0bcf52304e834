"""The log that Digi-Q learns from, and the policy that made it: of other runs (`--from`), or of this one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from turnsmith.agents.device_policy import DevicePolicy
from turnsmith.agents.frames import Frames
from turnsmith.credit.record import ByTurn, record
from turnsmith.critics.episodes import Played, played, read
from turnsmith.engine.sampling import turn_seed
from turnsmith.errors import UserError
from turnsmith.recipes.digiq.config import Config
from turnsmith.recipes.shared import phone as phones
from turnsmith.recipes.shared import phone_policy as policies
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run, find_run
from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.store import Store, Summary
from turnsmith.trace.types import Task, Trace


@dataclass(frozen=True, slots=True)
class Log:
    """Logged episodes and where they are.

    Attributes:
        episodes: oldest first; the ids of other runs' traces begin with the run's name and a slash.
        behaviour: π_β, the policy that made them.
        stores: by what the ids of its traces begin with.
        folder: of the run that has the demonstrations that π_β learned from.
    """

    episodes: list[Played]
    behaviour: DevicePolicy
    stores: dict[str, Path]
    folder: Path

    def keep_credit(self, run: Run, arm: str, values: ByTurn, advantages: ByTurn) -> None:
        """Write what an arm made of turns to the runs that have them; a run that may not be written is left alone."""
        for prefix, path in self.stores.items():
            own = {e.trace.id: e for e in self.episodes if e.trace.id.startswith(prefix)}

            def within(numbers: ByTurn, own: dict[str, Played] = own, prefix: str = prefix) -> ByTurn:
                return {id.removeprefix(prefix): by_turn for id, by_turn in numbers.items() if id in own}

            first = {id.removeprefix(prefix): episode.first for id, episode in own.items()}
            learner = arm if not prefix else f"{run.folder.name}/{arm}"
            try:
                with Store(path) as store:
                    record(store, learner, 1, values=within(values), advantages=within(advantages), first=first)
            except UserError as error:
                console.print(f"{arm}: its credit could not be kept with the log: {error}")


async def make_log(config: Config, run: Run, test: Sequence[Task]) -> Log:
    """Let a first policy try training tasks, as `digirl` does offline."""
    phone, seed = config.phone, turn_seed(config.seed + 1, 0)
    phones.check_splits(phone, test, config.policy.demonstrations, [config.seed])
    phones.check_splits(phone, test, config.offline_rollouts, [seed])
    behaviour = await policies.warm_start(
        run, phone, config.policy, config.features, config.seed, config.device, config.first
    )
    async with phones.judge_of(run, phone, behaviour, config.features, config.seed) as judge:
        tasks = phones.draw_tasks(phone, "train", config.offline_rollouts, seed)
        traces = await phones.play(run, phone, behaviour, tasks, "offline", 0, seed, judge)
        phones.report_agreement(run, "offline", judge, traces)
    episodes = read(run.store, ["offline"], judge=config.judge)[: config.episodes]
    return Log(episodes, behaviour, {"": run.store.path}, run.folder)


async def read_log(config: Config, run: Run, test: Sequence[Task]) -> Log:
    """Episodes of other runs.

    Raises:
        UserError: if they have none, or their tasks overlap the test tasks.
    """
    log = await asyncio.to_thread(log_of_runs, config, run)
    if test:
        check_overlap([episode.trace.task for episode in log.episodes], test)
    return log


def log_of_runs(config: Config, run: Run) -> Log:
    """Episodes of other runs and the first policy of these runs; a clone of the log where they have none in common.

    Raises:
        UserError: if they have no device episodes.
    """
    episodes: list[Played] = []
    images: dict[str, Store] = {}
    paths = [find_run(source) for source in config.source]
    for path in paths:
        store = Store(path, read_only=True)
        for row in _wanted(store, config.phases):
            if config.episodes is None or len(episodes) < config.episodes:
                episode = played(store.get(row.id), config.judge)
                if episode is not None:  # two runs may have used the same id
                    trace = replace(episode.trace, id=f"{path.parent.name}/{episode.trace.id}")
                    episodes.append(replace(episode, trace=trace))
                    images.update((image.digest, store) for image in episode.screens)
    sources = ", ".join(config.source)
    if not episodes:
        raise UserError(f"{sources}: no device episodes to learn from (turns with screenshots).")
    frames = Frames(lambda digest: images[digest].image(digest))
    stores = {f"{path.parent.name}/": path for path in paths}
    firsts = {policies.first_policy_of(path.parent) for path in paths}
    first = firsts.pop() if len(firsts) == 1 else None
    kept = policies.PolicyFormat(config.policy, config.features, frames, config.device)
    if first is not None:
        return Log(episodes, kept.read(first), stores, paths[0].parent)
    console.print(f"{sources}: no first policy at hand; π_β is cloned from the log's actions")
    episodes = [replace(episode, trace=_without_ids(episode.trace)) for episode in episodes]
    return Log(episodes, _clone(config, run, [e.trace for e in episodes], frames), stores, paths[0].parent)


def _wanted(store: Store, phases: Sequence[str]) -> list[Summary]:
    """The rows of a store that are learned from."""
    rows = store.summaries()
    if phases:
        return [row for row in rows if row.phase in phases]
    return [row for row in rows if not row.phase.startswith(("eval", "demonstr"))]


def _without_ids(trace: Trace) -> Trace:
    """The trace without token ids, which are another policy's: actions are encoded anew from their text."""
    turns = [
        replace(turn, action=replace(turn.action, prompt_ids=(), token_ids=(), logprobs=())) for turn in trace.turns
    ]
    return replace(trace, turns=tuple(turns))


def _clone(config: Config, run: Run, traces: Sequence[Trace], frames: Frames) -> DevicePolicy:
    """Behaviour cloning of a log: π_β where the policy that made it is not at hand."""
    small = replace(config.policy, kind="screen")

    def make() -> DevicePolicy:
        what = "cloning the log's policy"
        return policies.clone(what, traces, small, frames, config.seed, config.device)[0]

    kept = policies.PolicyFormat(small, config.features, frames, config.device, "clone")
    return run.once("clone", {"traces": len(traces), "seed": config.seed}, make, kept)
