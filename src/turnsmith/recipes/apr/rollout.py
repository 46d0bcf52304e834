"""Countdown in the engine: attempts at problems by a model, what they scored and cost, and their traces.

One way of working for training and evaluation: a `Method` says which prompt a root gets and how much room threads have.
A reward is the strict checker's word on the root's closing path; running out of window is no success.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from transformers import PreTrainedModel

from turnsmith.engine.threads import Engine
from turnsmith.engine.tree import CallRecord, Cancel, Limits, Request, Stats, Status, Thread, Tree
from turnsmith.recipes.apr.config import Budget
from turnsmith.recipes.apr.threads import Place, Wording
from turnsmith.trace.types import ORACLE, Action, Call, Observation, Outcome, StopReason, Task, Trace, Turn, Verdict
from turnsmith.trace.types import Thread as TraceThread
from turnsmith.worlds.countdown.problem import Problem


@dataclass(frozen=True, slots=True)
class Method:
    """How a model is asked.

    Attributes:
        window: tokens of a thread.
        budget: what its root is told to keep to, or nothing.
        temperature: of sampling.
        cancel, abreast: see `engine.tree.Limits`.
        serial: one thread, as SoS+ has it: its root is given that method's prompt.
    """

    window: int
    budget: Budget | None = None
    temperature: float = 1.0
    cancel: Cancel = "never"
    abreast: int | None = None
    serial: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one problem.

    Attributes:
        problem: what was asked.
        tree: its threads.
        solved: whether the closing path passes the checker.
        claim: the path that the root claims, as text; "" where it claims none.
    """

    problem: Problem
    tree: Tree
    solved: bool
    claim: str

    @property
    def children(self) -> int:
        """Threads beside the root."""
        return len(self.tree.threads) - 1


@dataclass(frozen=True, slots=True)
class Attempts:
    """Many attempts with what they cost together."""

    attempts: list[Attempt]
    stats: Stats = field(repr=False)

    def rate(self) -> float:
        """Share of the attempts that solved their problem."""
        return sum(attempt.solved for attempt in self.attempts) / max(1, len(self.attempts))


def attempt_all(
    model: PreTrainedModel,
    wording: Wording,
    method: Method,
    problems: Sequence[Problem],
    seeds: Sequence[int],
    rows: int,
) -> Attempts:
    """One attempt a problem and seed, all in one batch.

    Args:
        model: in `eval()` mode.
        wording: what threads are said in.
        method: how it is asked.
        problems, seeds: of equal length; a seed determines its attempt.
        rows: threads decoded at once.
    """
    limits = Limits(method.window, cancel=method.cancel, abreast=method.abreast)
    engine = Engine(model, wording, limits, method.temperature, rows=rows)
    requests = [
        Request(wording.prompt(problem, method.budget, method.serial), seed, Place.root(problem))
        for problem, seed in zip(problems, seeds, strict=True)
    ]
    attempts = []
    for problem, tree in zip(problems, engine.run(requests), strict=True):
        path = wording.path(tree.root)
        claim = "" if path is None else " ".join(map(str, path))
        attempts.append(Attempt(problem, tree, wording.verifies(tree.root), claim))
    return Attempts(attempts, replace(engine.stats))


def task_of(problem: Problem, split: str) -> Task:
    """The problem as a task; the same problem is always the same task."""
    numbers = ", ".join(map(str, problem.numbers))
    return Task(
        id=f"countdown-{problem.target}-{'-'.join(map(str, problem.numbers))}",
        instruction=f"Reach {problem.target} with the numbers {numbers}, each used once.",
        environment="countdown",
        params={"target": problem.target, "numbers": list(problem.numbers)},
        split=split,
        provenance={"generator": "countdown"},
    )


def trace_of(attempt: Attempt, wording: Wording, id: str, policy: str, phase: str, iteration: int) -> Trace:
    """An attempt as a trace: a turn for every stretch of a thread between its spawns, threads with their joins."""
    tree = attempt.tree
    turns = [turn for thread in tree.threads for turn in _turns(thread, wording)]
    reason = "the closing path passes the checker" if attempt.solved else _why_not(attempt)
    outcome = Outcome.SUCCESS if attempt.solved else Outcome.FAILURE
    if tree.root.status is Status.WINDOW:
        outcome = Outcome.TRUNCATED
    return Trace(
        id=id,
        task=task_of(attempt.problem, "test" if phase.startswith("eval") else "train"),
        turns=tuple(turns),
        outcome=outcome,
        verdicts=(Verdict(ORACLE, float(attempt.solved), reason),),
        policy=policy,
        created_at=time.time(),
        threads=tuple(
            TraceThread(
                thread.id,
                None if thread.parent is None else thread.parent.id,
                thread.spawned_at,
                thread.joined_at,
                _THREAD_STATUS[thread.status or Status.FAILED],
                _delay(thread),
            )
            for thread in tree.threads
        ),
        info={
            "phase": phase,
            "iteration": iteration,
            "total_tokens": tree.total,
            "critical_path": tree.critical_path,
            "longest_thread": tree.longest,
        },
    )


_THREAD_STATUS = {
    Status.ENDED: "joined",
    Status.WINDOW: "failed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}


def _delay(thread: Thread) -> int:
    """The tree's clock from the spawn of a thread, which is when the first of its siblings began, to its beginning."""
    groups = [] if thread.parent is None else thread.parent.groups
    return next((thread.start - group[0].start for group in groups if thread in group), 0)


def _why_not(attempt: Attempt) -> str:
    root = attempt.tree.root
    if root.status is not Status.ENDED:
        return root.reason
    if not attempt.claim:
        return "no solution is claimed"
    return root.state.check(attempt.claim.split())[1]


def _turns(thread: Thread, wording: Wording) -> list[Turn]:
    """The stretches of a thread: up to each spawn, and from each join (whose text comes first, unsampled) on."""
    turns = []
    for call in thread.calls:
        cuts = [at for at in range(1, len(call.token_ids)) if call.sampled[at - 1] and not call.sampled[at]]
        for start, stop in zip([0, *cuts], [*cuts, len(call.token_ids)], strict=True):
            if start < stop:
                turns.append(_turn(thread, call, start, stop, wording))
    return turns


def _turn(thread: Thread, call: CallRecord, start: int, stop: int, wording: Wording) -> Turn:
    """The stretch `start` to `stop` of a call."""
    before, ids = [*call.prompt_ids, *call.token_ids[:start]], call.token_ids[start:stop]
    last = stop == len(call.token_ids) and call is thread.calls[-1]
    meant = wording.meaning(before, ids, thread.state.start)
    if meant is None and last:
        meant = _UNFINISHED.get(thread.status or Status.FAILED)
    action = Action(
        wording.shown(ids),
        meant,
        thread.reason if last and thread.status is Status.FAILED else "",
        tuple(before),
        tuple(ids),
        tuple(call.logprobs[start:stop]),
        tuple(call.sampled[start:stop]),
        _stop(thread, ids[-1] == wording.end, last),
    )
    clocks = {"clock": call.clocks[start], "clock_end": call.clocks[stop - 1]}
    return Turn(Observation(text=wording.shown(before)), action, thread=thread.id, info=clocks)


_UNFINISHED = {Status.CANCELLED: Call("cancelled"), Status.WINDOW: Call("window full")}
"""What a stretch that was cut came to."""


def _stop(thread: Thread, ended: bool, last: bool) -> StopReason:
    if not last:
        return StopReason.STOP
    if thread.status is Status.WINDOW:
        return StopReason.LENGTH
    return StopReason.EOS if ended else StopReason.STOP
