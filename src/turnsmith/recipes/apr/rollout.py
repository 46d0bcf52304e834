"""Countdown in the engine: attempts at problems by a model, what they scored and cost, and their traces.

One way of working for training and evaluation: a `Method` says which prompt a root gets and how much room threads have.
A reward is the strict checker's word on the root's closing path; running out of window is no success.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from turnsmith.engine.threads import Engine
from turnsmith.engine.tree import Cancel, Limits, Request, Stats, Status, Thread, Tree
from turnsmith.recipes.apr.threads import CompactThreads, Join, Place
from turnsmith.trace.types import ORACLE, Action, Call, Observation, Outcome, StopReason, Task, Trace, Turn, Verdict
from turnsmith.trace.types import Thread as TraceThread
from turnsmith.worlds.countdown import compact
from turnsmith.worlds.countdown.problem import Problem
from turnsmith.worlds.countdown.search import Node


@dataclass(frozen=True, slots=True)
class Method:
    """How a model is asked.

    Attributes:
        budget: words before the problem (`calls 9`, `tokens 2`), or none.
        window: tokens of a thread.
        temperature: of sampling.
        cancel, abreast: see `engine.tree.Limits`.
        join: which join the model has learned.
        depth: how deep threads may spawn; 0 forbids it (serial models never ask).
    """

    window: int
    budget: tuple[str, ...] = ()
    temperature: float = 1.0
    cancel: Cancel = "never"
    abreast: int | None = None
    join: Join = "append"
    depth: int = 1


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
    model: Any, protocol: CompactThreads, method: Method, problems: Sequence[Problem], seeds: Sequence[int], rows: int
) -> Attempts:
    """One attempt a problem and seed, all in one batch.

    Args:
        model: in `eval()` mode.
        protocol: the words of the tier.
        method: how it is asked.
        problems, seeds: of equal length; a seed determines its attempt.
        rows: threads decoded at once.
    """
    limits = Limits(method.window, depth=method.depth, cancel=method.cancel, abreast=method.abreast)
    words = CompactThreads(protocol.vocabulary, method.join)
    engine = Engine(model, words, limits, method.temperature, rows=rows)
    requests = [
        Request(words.prompt(problem, method.budget), seed, Place.root(problem))
        for problem, seed in zip(problems, seeds, strict=True)
    ]
    attempts = []
    for problem, tree in zip(problems, engine.run(requests), strict=True):
        path = words.path(tree.root)
        claim = "" if path is None else " ".join(map(str, path))
        attempts.append(Attempt(problem, tree, words.verifies(tree.root), claim))
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


def trace_of(attempt: Attempt, protocol: CompactThreads, id: str, policy: str, phase: str, iteration: int) -> Trace:
    """An attempt as a trace: a turn for every stretch of a thread between its spawns, threads with their joins."""
    tree = attempt.tree
    turns = [turn for thread in tree.threads for turn in _turns(thread, protocol)]
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


def _turns(thread: Thread, protocol: CompactThreads) -> list[Turn]:
    """The stretches of a thread: up to each spawn, and from each join (whose text comes first, unsampled) on."""
    vocabulary = protocol.vocabulary
    turns = []
    for call in thread.calls:
        cuts = [at for at in range(1, len(call.token_ids)) if call.sampled[at - 1] and not call.sampled[at]]
        for start, stop in zip([0, *cuts], [*cuts, len(call.token_ids)], strict=True):
            ids = call.token_ids[start:stop]
            if not ids:
                continue
            before = [*call.prompt_ids, *call.token_ids[:start]]
            last = stop == len(call.token_ids) and call is thread.calls[-1]
            words = vocabulary.words(ids)
            turns.append(
                Turn(
                    Observation(text=lines(vocabulary.words(before))),
                    Action(
                        lines(words),
                        _call(words, vocabulary.words(before), thread.state.start)
                        or (_UNFINISHED.get(thread.status or Status.FAILED) if last else None),
                        thread.reason if last and thread.status is Status.FAILED else "",
                        tuple(before),
                        tuple(ids),
                        tuple(call.logprobs[start:stop]),
                        tuple(call.sampled[start:stop]),
                        _stop(thread, words, last),
                    ),
                    thread=thread.id,
                    info={"clock": call.clocks[start], "clock_end": call.clocks[stop - 1]},
                )
            )
    return turns


_UNFINISHED = {Status.CANCELLED: Call("cancelled"), Status.WINDOW: Call("window full")}
"""What a stretch that was cut came to."""


def _call(words: Sequence[str], before: Sequence[str], start: Node) -> Call | None:
    """What a stretch after these words of its thread came to: a spawn, an answer, or neither."""
    if words[-1] == "run":
        at = len(words) - 1 - list(reversed(words)).index("spawn") if "spawn" in words else len(words) - 1
        return Call("spawn", {"nodes": list(words[at + 1 : -1])})
    ended = list(words[:-1]) if words[-1] == "<eos>" else list(words)
    path = compact.claimed([*before, *ended], start) if ended[-1:] == ["yes"] or "won" in ended else None
    if path is not None:
        return Call("answer", {"text": ", ".join(map(str, path))})
    return Call("answer", {"text": "none"}) if ended and ended[-1] == "none" else None


def _stop(thread: Thread, words: Sequence[str], last: bool) -> StopReason:
    if not last:
        return StopReason.STOP
    if thread.status is Status.WINDOW:
        return StopReason.LENGTH
    return StopReason.EOS if words[-1] == "<eos>" else StopReason.STOP


def lines(words: Sequence[str]) -> str:
    """Words as lines a person can read: one an operation, a move, a spawn, a join."""
    text, head = "", ""
    for at, word in enumerate(words):
        starts = word in ("@", "enter", "exit", "spawn", "join", "won", "none") and words[max(0, at - 2)] != "goal"
        operation = at + 1 < len(words) and compact.is_number(word) and words[at + 1] in compact.SIGNS
        after = at > 0 and words[at - 1] in ("yes", "no", "end", "run", "exit")
        new = at > 0 and (starts or after or (operation and head not in ("won", "join")))
        head = word if new or not at else head
        text += ("\n" if new else " " if at else "") + word
    return text
