"""Play many episodes at once: workers, horizons, token budgets, retries and typed faults.

Every episode ends as exactly one of the four outcomes. A failure of the machinery is an `infra_error` trace, kept for
the record and played again (a fresh trace, same seed) a bounded number of times; everything else that goes wrong is
the agent's own doing and stands in its observations.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from turnsmith.agents.base import Context, Policy
from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.base import Environment, Session
from turnsmith.errors import InfraError
from turnsmith.judges.base import Judge
from turnsmith.rollout.batcher import Batcher
from turnsmith.trace.types import Observation, Outcome, Task, Trace, Turn, Verdict


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode to be played.

    Attributes:
        id: becomes the trace's id; deterministic ids let an interrupted collection go on where it stopped.
        task: what is asked.
        seed: of the environment and of the sampling.
        phase: "train", "eval", "demonstrations" …; stored in `Trace.info`.
        iteration: the recipe's iteration; stored in `Trace.info`.
    """

    id: str
    task: Task
    seed: int
    phase: str = "train"
    iteration: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """When an episode is cut off.

    Attributes:
        horizon: the most actions that are executed.
        max_tokens: the most tokens that the agent may emit over the episode; None for no limit.
        retries: how often an episode lost to machinery is played again.
        turn_seconds: a turn (acting and executing) that takes longer is an infra error of kind "turn_timeout".
    """

    horizon: int = 10
    max_tokens: int | None = None
    retries: int = 2
    turn_seconds: float = 120.0


async def collect(
    environment: Environment,
    policy: Policy,
    episodes: Iterable[Episode],
    limits: Limits,
    *,
    workers: int = 8,
    judge: Judge | None = None,
    on_trace: Callable[[Trace], None] | None = None,
    attempts: Mapping[str, int] | None = None,
) -> list[Trace]:
    """Play every episode and return the traces, in the order of the episodes.

    Args:
        environment: an entered environment; its pool bounds how many sessions really run at once.
        policy: who acts; called with batches of contexts.
        episodes: what to play.
        limits: horizon, budgets, retries.
        workers: how many episodes are under way at once.
        judge: decides success and is asked after the oracle; None lets the oracle decide.
        on_trace: called with every finished trace, infra errors included, as soon as it is finished: the place to store
            it. What `on_trace` raises stops the collection.
        attempts: how often episodes (by id) were lost to machinery before, when a collection goes on after a kill.

    Returns:
        The last trace of each episode (an infra error only when its retries ran out).

    Raises:
        UserError: if a task's parameters are wrong, or storing failed.
    """
    queue = list(enumerate(episodes))
    queue.reverse()
    finished: dict[int, Trace] = {}
    batcher = Batcher(policy)

    async def worker() -> None:
        while queue:
            position, episode = queue.pop()
            lost = (attempts or {}).get(episode.id, 0)
            for attempt in range(lost, max(limits.retries, lost) + 1):
                trace = await _play(environment, batcher, episode, limits, judge, attempt)
                if on_trace is not None:
                    on_trace(trace)
                if trace.outcome is not Outcome.INFRA_ERROR:
                    break
            finished[position] = trace

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, min(workers, len(queue)))):
                group.create_task(worker())
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    return [finished[position] for position in sorted(finished)]


async def _play(
    environment: Environment, batcher: Batcher, episode: Episode, limits: Limits, judge: Judge | None, attempt: int
) -> Trace:
    """Play one episode; failures of the machinery become an infra_error trace."""
    started = time.time()
    turns: list[Turn] = []
    trace = Trace(
        id=episode.id if attempt == 0 else f"{episode.id}-retry{attempt}",
        task=episode.task,
        policy=batcher.policy.version,
        seed=episode.seed,
        created_at=started,
        info={"phase": episode.phase, "iteration": episode.iteration},
    )
    try:
        async with environment.session() as session:
            final, done = await _turns(session, batcher, episode, limits, turns)
            trace = replace(trace, turns=tuple(turns), final=final)
            verdict = await session.grade()
        verdicts = () if verdict is None else (verdict,)
        if not done:
            # Running out of time is never a success, whatever state the episode was cut off in.
            names = [verdict.judge for verdict in verdicts] + ([judge.name] if judge is not None else [])
            reason = f"cut off after {len(turns)} steps without an answer"
            cut_off = tuple(Verdict(name, 0.0, reason) for name in names)
            return replace(trace, outcome=Outcome.TRUNCATED, verdicts=cut_off)
        trace = replace(trace, verdicts=verdicts)
        if judge is not None:
            verdict = await judge.judge(trace)
            trace = replace(trace, verdicts=(*verdicts, verdict))
    except InfraError as error:
        info = {**trace.info, "infra_error": error.kind, "infra_detail": error.detail[:500]}
        return replace(trace, turns=tuple(turns), outcome=Outcome.INFRA_ERROR, verdicts=(), info=info)
    won = verdict is not None and verdict.reward > 0.5
    return replace(trace, outcome=Outcome.SUCCESS if won else Outcome.FAILURE)


async def _turns(
    session: Session, batcher: Batcher, episode: Episode, limits: Limits, turns: list[Turn]
) -> tuple[Observation, bool]:
    """Act until the episode is over or cut off; appends to `turns`. Returns the last observation and `done`."""
    public = replace(episode.task, hidden={})  # training-time information never reaches an actor
    tokens = 0
    try:
        async with asyncio.timeout(limits.turn_seconds):
            observation = await session.reset(episode.task, episode.seed)
        for index in range(limits.horizon):
            async with asyncio.timeout(limits.turn_seconds):
                clock = time.perf_counter()
                seed = turn_seed(episode.seed, index)
                action = await batcher.act(Context(public, observation, tuple(turns), seed))
                acted = time.perf_counter()
                step = await session.step(action)
                turns.append(
                    Turn(
                        observation,
                        action,
                        reward=step.reward,
                        act_seconds=acted - clock,
                        env_seconds=time.perf_counter() - acted,
                        info=step.info,
                    )
                )
            observation = step.observation
            tokens += len(action.token_ids)
            if step.done:
                return observation, True
            if limits.max_tokens is not None and tokens >= limits.max_tokens:
                break
    except TimeoutError as error:
        raise InfraError("turn_timeout", f"a turn took more than {limits.turn_seconds:g} s") from error
    return observation, False


def evaluation_episodes(tasks: Sequence[Task], seed: int, iteration: int = 0, phase: str = "eval") -> list[Episode]:
    """One episode a task; ids and seeds depend on the task's place and `seed` only, so that runs can be paired."""
    return [
        Episode(f"{phase}-{iteration:03d}-{index:05d}", task, turn_seed(seed, index), phase, iteration)
        for index, task in enumerate(tasks)
    ]
