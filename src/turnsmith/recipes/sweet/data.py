"""Dialogues as examples, and the comparisons that each arm learns from: no model is trained here.

A dialogue is one example: the first prompt, then everything said, with the agent's tokens in the mask. For a critic the
hidden specification stands in front of the prompt; for an actor it never does (a test scans them all).
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from turnsmith.learn.examples import Example
from turnsmith.learn.preference import Comparison, anchor, pair
from turnsmith.trace.types import Task, Trace
from turnsmith.worlds.programs.play import hidden_prefix


def dialogue_example(trace: Trace, hidden: bool = False, questions_only: bool = False) -> Example:
    """A whole dialogue: the agent's tokens count, those of the user and of the prompt do not.

    Args:
        trace: of `worlds.programs.play`.
        hidden: put the hidden specification in front (critics only).
        questions_only: leave the turn that answers out of the mask: a critic that reads answers reads the outcome.
    """
    first = trace.turns[0].action.prompt_ids
    ids, mask = list(first), [False] * len(first)
    for turn in trace.turns:
        action = turn.action
        ids += action.prompt_ids[len(ids) :]
        mask += [False] * (len(ids) - len(mask))
        ids += action.token_ids
        answers = action.call is not None and action.call.name == "answer"
        mask += [not (questions_only and answers)] * len(action.token_ids)
    prefix = hidden_prefix(trace.task) if hidden else ()
    return Example((*prefix, *first), tuple(ids[len(first) :]), tuple(mask[len(first) :]))


def by_task(traces: Iterable[Trace]) -> dict[str, list[Trace]]:
    """The attempts at each task."""
    found: dict[str, list[Trace]] = {}
    for trace in traces:
        found.setdefault(trace.task.id, []).append(trace)
    return found


def outcome_of(trace: Trace) -> float:
    """The oracle's verdict; the share of passed tests breaks ties between failures no more than in the paper: not."""
    return trace.reward() or 0.0


def better_and_worse(traces: Iterable[Trace]) -> Iterator[tuple[Trace, Trace]]:
    """Of each task every success against every failure."""
    for attempts in by_task(traces).values():
        good = [trace for trace in attempts if outcome_of(trace) > 0.5]
        bad = [trace for trace in attempts if outcome_of(trace) <= 0.5]
        yield from itertools.product(good, bad)


def trajectory_pairs(traces: Iterable[Trace], hidden: bool = False, questions_only: bool = False) -> list[Comparison]:
    """Of each task every success against every failure; sides in which nothing counts are left out."""
    found = []
    for both in better_and_worse(traces):
        sides = [dialogue_example(trace, hidden, questions_only) for trace in both]
        if all(any(side.mask) for side in sides):
            found.append(pair(*sides))
    return found


@dataclass(frozen=True, slots=True)
class Context:
    """A turn of the offline data, for which candidates are drawn.

    Attributes:
        task: whose.
        prompt_ids: what the actor reads.
        asked: slots that were asked about before.
        logged: what was said there.
        answers: whether that was an answer.
        success: whether the dialogue succeeded.
    """

    task: Task
    prompt_ids: tuple[int, ...]
    asked: tuple[str, ...]
    logged: tuple[int, ...]
    answers: bool
    success: bool


def asked_before(trace: Trace) -> list[tuple[str, ...]]:
    """At each turn, the slots that were asked about before."""
    found: list[tuple[str, ...]] = []
    asked: tuple[str, ...] = ()
    for turn in trace.turns:
        found.append(asked)
        call = turn.action.call
        if call is not None and call.name == "ask":
            asked = (*asked, str(call.arguments["slot"]))
    return found


def contexts_of(traces: Sequence[Trace], count: int, seed: int) -> list[Context]:
    """Turns of these dialogues, at most `count`, drawn at random."""
    found = []
    for trace in traces:
        for turn, asked in zip(trace.turns, asked_before(trace), strict=True):
            action = turn.action
            answers = action.call is not None and action.call.name == "answer"
            won = outcome_of(trace) > 0.5
            found.append(Context(trace.task, action.prompt_ids, asked, action.token_ids, answers, won))
    random.Random(f"contexts/{seed}").shuffle(found)
    return found[:count]


def turn_comparison(
    context: Context,
    candidates: Sequence[tuple[int, ...]],
    scores: Sequence[float],
    pairs: int,
    pairing: Literal["halves", "ranked"],
    source: random.Random,
) -> Comparison | None:
    """The pairs of one turn from its ranked candidates; None where all say the same or score the same.

    Args:
        context: the turn.
        candidates: responses to it; equal ones count once.
        scores: of each.
        pairs: the most pairs.
        pairing: "halves": random members of the upper and lower half; "ranked": i-th best against i-th worst.
        source: of the draws.
    """
    best = dict(sorted(zip(candidates, scores, strict=True), key=lambda row: row[1]))
    ranked = sorted(best, key=lambda ids: -best[ids])
    half = len(ranked) // 2
    if half == 0:
        return None
    upper, lower = ranked[:half], ranked[::-1][:half]
    if pairing == "halves":
        chosen = [(source.choice(upper), source.choice(lower)) for _ in range(pairs)]
    else:
        chosen = list(zip(upper, lower, strict=True))[:pairs]
    chosen = [(a, b) for a, b in dict.fromkeys(chosen) if best[a] > best[b]]
    if not chosen:
        return None
    sides = list(dict.fromkeys(ids for both in chosen for ids in both))
    place = {ids: index for index, ids in enumerate(sides)}
    examples = tuple((Example(context.prompt_ids, ids, (True,) * len(ids)),) for ids in sides)
    liked = tuple(sorted({place[a] for a, _ in chosen}))
    return Comparison(examples, tuple((place[a], place[b]) for a, b in chosen), liked)


def answer_anchor(context: Context) -> Comparison | None:
    """NLL on what a successful dialogue answered: without it, answering decays while questions are compared."""
    if not (context.answers and context.success):
        return None
    return anchor(Example(context.prompt_ids, context.logged, (True,) * len(context.logged)))
