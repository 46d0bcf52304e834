"""The oracle of the local sites: does what happened equal the goal?

A goal is JSON: {"state": the whole snapshot that must stand at the end, "answer": [accepted answers]?, "page": the key
of the page to be on?}. It is strict: nothing may be missing and nothing may be there that was not asked for; answers
are compared whole, after normalisation; and an agent that never says it is done has not succeeded.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Snapshot = Mapping[str, Sequence[str]]


def normalise(text: str) -> str:
    """An answer without what does not matter: case, outer quotes, brackets and full stop, runs of white space."""
    return re.sub(r"\s+", " ", text).strip(" \t\n.\"'“”‘’[]").casefold()


def judge(
    goal: Mapping[str, Any], answer: str | None, snapshot: Snapshot | None = None, viewing: str | None = None
) -> tuple[bool, str]:
    """Grade an episode, or as much of it as is known.

    Args:
        goal: what should be.
        answer: the agent's closing answer; None when it gave none.
        snapshot: the guest's state at the end; None leaves it unchecked.
        viewing: the key of the page on screen at the end; None leaves it unchecked.

    Returns:
        Whether everything that was checked holds, and why (not) in a sentence.
    """
    if answer is None:
        return False, "The agent never said that it was done."
    if snapshot is not None and (trouble := differences(goal.get("state", {}), snapshot)):
        return False, trouble
    if viewing is not None and goal.get("page", viewing) != viewing:
        return False, f"The last page is {viewing!r}, not {goal['page']!r}."
    accepted = goal.get("answer")
    if accepted and normalise(answer) not in {normalise(text) for text in accepted}:
        return False, f"The answer is {answer!r}, not {accepted[0]!r}."
    return True, f"The answer {answer!r} is right." if accepted else "Everything is as it was asked."


def differences(wanted: Snapshot, found: Snapshot) -> str:
    """What is missing from, and what is too much in, a state; "" where there is no difference."""
    parts = []
    for area in sorted({*wanted, *found}):
        want, have = Counter(wanted.get(area, ())), Counter(found.get(area, ()))
        parts += [f"{area} lack {item!r}" for item in sorted((want - have).elements())]
        parts += [f"{area} hold {item!r}, which was not asked for" for item in sorted((have - want).elements())]
    return ("; ".join(parts)[0].upper() + "; ".join(parts)[1:] + ".") if parts else ""
