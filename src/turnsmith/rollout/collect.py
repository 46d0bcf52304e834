"""Play many episodes at once: workers, horizons, token budgets, retries and typed faults.

Every episode ends as exactly one of the four outcomes. A failure of the machinery is an `infra_error` trace, kept for
the record and played again (a fresh trace, same seed) a bounded number of times; everything else that goes wrong is
the agent's own doing and stands in its observations.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from turnsmith.agents.base import Context, Policy
from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.base import Environment, Session
from turnsmith.errors import InfraError
from turnsmith.judges.base import Judge
from turnsmith.rollout.batcher import Batcher
from turnsmith.rollout.spent import SPENT, Considered, spent_on
from turnsmith.trace.types import ORACLE, Observation, Outcome, Task, Trace, Turn, Verdict

Judged = Literal["end", "step"]
"""When a judge is asked: once, when the agent has ended the episode, or after each step."""


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
    judged: Judged = "end",
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
        judge: decides success; None lets the oracle decide. What it said is in the trace under its name, beside what
            the oracle says.
        judged: "end" asks it about an episode that the agent ended. "step" asks it after each step: its verdict is the
            turn's reward, and a reward above 0.5 ends the episode (DigiRL's evaluator); the oracle is asked as well.
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
    player = _Player(environment, Batcher(policy), limits, judge, judged)

    async def worker() -> None:
        while queue:
            position, episode = queue.pop()
            lost = (attempts or {}).get(episode.id, 0)
            for attempt in range(lost, max(limits.retries, lost) + 1):
                trace = await player.play(episode, attempt)
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


@dataclass(frozen=True, slots=True)
class _Player:
    """What all episodes of a collection share."""

    environment: Environment
    batcher: Batcher
    limits: Limits
    judge: Judge | None
    judged: Judged

    async def play(self, episode: Episode, attempt: int) -> Trace:
        """Play one episode; failures of the machinery become an infra_error trace."""
        going = _Going(
            Trace(
                id=episode.id if attempt == 0 else f"{episode.id}-retry{attempt}",
                task=episode.task,
                policy=self.batcher.policy.version,
                seed=episode.seed,
                created_at=time.time(),
                info={"phase": episode.phase, "iteration": episode.iteration},
            )
        )
        try:
            async with self.environment.session() as session:
                done = await self._act(session, episode, going)
                truth = await session.grade()
            return await self._ended(going, truth) if done else self._cut_off(going, truth)
        except InfraError as error:
            info = {**going.trace.info, "infra_error": error.kind, "infra_detail": error.detail[:500]}
            turns = tuple(going.turns)
            return replace(going.trace, turns=turns, outcome=Outcome.INFRA_ERROR, verdicts=(), info=info)

    async def _act(self, session: Session, episode: Episode, going: "_Going") -> bool:
        """Act until the episode is over (True) or cut off."""
        public = replace(episode.task, hidden={})  # training-time information never reaches an actor
        limits, tokens = self.limits, 0
        try:
            async with asyncio.timeout(limits.turn_seconds):
                going.now = await session.reset(episode.task, episode.seed)
            for index in range(limits.horizon):
                async with asyncio.timeout(limits.turn_seconds):
                    clock = time.perf_counter()
                    seed = turn_seed(episode.seed, index)
                    action = await self.batcher.act(Context(public, going.now, tuple(going.turns), seed))
                    acted = time.perf_counter()
                    step = await session.step(action)
                    turn = Turn(
                        going.now,
                        action,
                        reward=step.reward,
                        act_seconds=acted - clock,
                        env_seconds=time.perf_counter() - acted,
                        info={**step.info, SPENT: action.spent} if isinstance(action, Considered) else step.info,
                    )
                    going.turns.append(turn)
                    going.now = step.observation
                    done = step.done
                    if self.judge is not None and self.judged == "step":
                        reward = await self._judge_step(self.judge, session, going)
                        going.turns[-1] = replace(turn, reward=reward)
                        done = done or reward > 0.5
                tokens += spent_on(action)
                if done:
                    return True
                if limits.max_tokens is not None and tokens >= limits.max_tokens:
                    break
        except TimeoutError as error:
            raise InfraError("turn_timeout", f"a turn took more than {limits.turn_seconds:g} s") from error
        return False

    async def _judge_step(self, judge: Judge, session: Session, going: "_Going") -> float:
        """The judge's reward of the last turn; what it and the oracle say goes into the record."""
        turn = len(going.turns) - 1
        truth = await session.grade()
        if truth is not None:
            going.verdicts.append(replace(truth, turn=turn))
        verdict = await judge.judge(going.so_far)
        if verdict.judge != ORACLE:
            going.verdicts.append(replace(verdict, turn=turn))
        return verdict.reward

    async def _ended(self, going: "_Going", truth: Verdict | None) -> Trace:
        """The trace of an episode that came to its end, with the last word of the judge, and the oracle's."""
        trace = going.so_far
        trace = replace(trace, verdicts=(*trace.verdicts, *([] if truth is None else [truth])))
        decisive = truth
        if self.judge is not None and self.judge.name != ORACLE:
            asked = self.judged == "step" and going.verdicts
            decisive = replace(going.verdicts[-1], turn=None) if asked else await self.judge.judge(trace)
            trace = replace(trace, verdicts=(*trace.verdicts, decisive))
        if decisive is None:
            return replace(trace, outcome=Outcome.UNJUDGED)
        return replace(trace, outcome=Outcome.SUCCESS if decisive.reward > 0.5 else Outcome.FAILURE)

    def _cut_off(self, going: "_Going", truth: Verdict | None) -> Trace:
        """Running out of time is never a success, whatever state the episode was cut off in."""
        judges = [] if truth is None else [truth.judge]
        judges += [] if self.judge is None or self.judge.name in judges else [self.judge.name]
        reason = f"cut off after {len(going.turns)} steps without an answer"
        whole = [Verdict(name, 0.0, reason) for name in judges]
        trace = going.so_far
        return replace(trace, outcome=Outcome.TRUNCATED, verdicts=(*trace.verdicts, *whole))


@dataclass(slots=True)
class _Going:
    """An episode under way.

    Attributes:
        trace: its head.
        turns, verdicts: so far; verdicts on single turns.
        now: what is to be seen now.
    """

    trace: Trace
    turns: list[Turn] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    now: Observation = field(default_factory=Observation)

    @property
    def so_far(self) -> Trace:
        """What a judge is shown."""
        return replace(self.trace, turns=tuple(self.turns), verdicts=tuple(self.verdicts), final=self.now)


def evaluation_episodes(tasks: Sequence[Task], seed: int, iteration: int = 0, phase: str = "eval") -> list[Episode]:
    """One episode a task; ids and seeds depend on the task's place and `seed` only, so that runs can be paired."""
    return [
        Episode(f"{phase}-{iteration:03d}-{index:05d}", task, turn_seed(seed, index), phase, iteration)
        for index, task in enumerate(tasks)
    ]
