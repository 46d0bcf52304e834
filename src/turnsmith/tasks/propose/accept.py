"""What proposals have to pass before they are tasks, and the count of those that did not.

Rejected are: instructions that are empty, on several lines, or too long; that hold an unfilled placeholder; that ask
to sign in or out; that depend on the day ("today", "latest"); and what was proposed before, up to case, punctuation
and spacing. Overlap with a test task is no rejection but an error: it would mean that a proposer saw what it must not.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from turnsmith.tasks.propose.proposal import Proposal
from turnsmith.tasks.splits import check_overlap, normalised
from turnsmith.trace.types import Task

LONGEST = 300
_PLACEHOLDER = re.compile(r"[{<\[][A-Za-z_ ]{1,30}[}>\]]")
_ACCOUNT = re.compile(r"\b(sign|log)[ -]?(in|out|up|on)\b|\bpassword\b|\bmy account\b", re.IGNORECASE)
_TIME = re.compile(r"\b(today|tomorrow|yesterday|tonight|now|currently|latest|this (week|month|year))\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Tasks, and what became of the rest.

    Attributes:
        tasks: accepted, in the order in which they were proposed.
        rejected: why -> how many.
        kinds: kind of the proposer -> how many were accepted.
    """

    tasks: tuple[Task, ...]
    rejected: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)


def trouble(instruction: str, typed: bool = True) -> str:
    """Why an instruction cannot be a task; "" where it can. `typed`: quoted text may say anything."""
    text = instruction.strip()
    words = re.sub(r'"[^"]*"', "", text) if typed else text
    if not re.search(r"\w", text):
        return "empty"
    if "\n" in text or len(text) > LONGEST:
        return "too long"
    if _PLACEHOLDER.search(words):
        return "placeholder"
    if _ACCOUNT.search(words):
        return "account"
    return "depends on the day" if _TIME.search(words) else ""


def accept(
    proposals: Iterable[Proposal], *, avoid: Sequence[Task], prefix: str, split: str = "train", limit: int | None = None
) -> Accepted:
    """Turn proposals into tasks.

    Args:
        proposals: as written.
        avoid: test tasks.
        prefix: of the ids, which count up.
        split: of the tasks.
        limit: at most so many tasks.

    Raises:
        UserError: if an accepted task overlaps a test task by id, instruction or entity.
    """
    tasks: dict[str, Task] = {}
    rejected: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for proposal in proposals:
        if limit is not None and len(tasks) >= limit:
            break
        why, key = trouble(proposal.instruction), normalised(proposal.instruction)
        site = str(proposal.params.get("world", proposal.params.get("start_url", "")))
        if not why and f"{site} {key}" in tasks:
            why = "duplicate"
        if why:
            rejected[why] += 1
            continue
        kinds[proposal.kind] += 1
        tasks[f"{site} {key}"] = Task(
            id=f"{prefix}-{len(tasks):05d}",
            instruction=proposal.instruction.strip(),
            environment="browser",
            params=dict(proposal.params),
            split=split,
            provenance={**proposal.source, "kind": proposal.kind, "entities": list(proposal.entities)},
            hidden={"intent": dict(proposal.intent)} if proposal.intent else {},
        )
    check_overlap(list(tasks.values()), avoid)
    return Accepted(tuple(tasks.values()), dict(rejected), dict(kinds))
