"""Trees of threads as data: what a thread is, why it ended, what a protocol of spawning and joining has to answer.

A tree keeps its own clock: it counts tokens on the way from the root, and a parent's clock jumps to that of its last
child. Cancelling goes by this clock alone, so it does not depend on how the machine interleaves threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from turnsmith.engine.draw import Uniforms
from turnsmith.engine.rows import Kept

Cancel = Literal["never", "claimed", "verified"]

SIBLING = "a sibling has a solution"
"""The reason of a cancelled thread."""


class Status(StrEnum):
    """Why a thread ended."""

    ENDED = "ended"
    """Its model said so (an end-of-sequence token)."""
    WINDOW = "window"
    """Its context was full, or its prompt did not fit."""
    CANCELLED = "cancelled"
    """A sibling had found a solution."""
    FAILED = "failed"
    """Its text was malformed, or asked for more than the limits allow; `reason` says what."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tree may use.

    Attributes:
        window: tokens of one thread's context, its prompt and joined results included.
        threads: threads of one tree, its root included.
        depth: how deep threads may spawn; 1: children never do (the paper).
        spawns: how often one thread may.
        cancel: stop a thread's siblings when it claims a solution, when it claims one that passes the protocol's
            check, or never (the paper).
        abreast: children of one spawn that run side by side; the next begins where an earlier one ended. None: all.
            With cancelling, fewer abreast do less in vain and take longer.
    """

    window: int
    threads: int = 128
    depth: int = 1
    spawns: int = 8
    cancel: Cancel = "never"
    abreast: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One tree to run.

    Attributes:
        prompt_ids: of the root; at least one token.
        seed: determines everything that is sampled in the tree.
        state: what the protocol knows of the root (a problem, a node).
        window: of this tree's threads; None: that of the limits.
    """

    prompt_ids: Sequence[int]
    seed: int
    state: Any = None
    window: int | None = None


@dataclass(slots=True)
class CallRecord:
    """One uninterrupted piece of a thread's context: what it was given and what came after.

    Attributes:
        prompt_ids: given.
        token_ids: what followed, ends included.
        logprobs: natural log-probability of each at temperature 1; 0 where it was not sampled.
        sampled: whether the model chose it (False: joined text).
        clocks: the tree's clock at each.
        begun: the tree's clock at the beginning.
    """

    prompt_ids: list[int]
    begun: int = 0
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    sampled: list[bool] = field(default_factory=list)
    clocks: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Thread:
    """One thread, while it runs and after.

    Attributes:
        parent: the thread that spawned it; None for a root.
        state: the protocol's.
        depth: 0 for a root.
        calls: what it read and wrote; more than one only where joins rewrite, none where it never began.
        status, reason: how it ended.
        ids: its present context.
        start: the tree's clock when it began.
        own: tokens it sampled.
        waited: clock that passed while it waited for children.
        spawned_at: own tokens (joined ones included) of the parent at the spawn.
        joined_at: likewise before the joined text; None where it was never joined.
        id: its place in the tree, parents first, in the order of spawning.
    """

    parent: "Thread | None"
    state: Any
    depth: int
    ids: list[int]
    window: int
    key: int
    tree: int
    start: int = 0
    calls: list[CallRecord] = field(default_factory=list)
    status: Status | None = None
    reason: str = ""
    own: int = 0
    waited: int = 0
    spawned_at: int = 0
    joined_at: int | None = None
    id: int = 0
    groups: list[list["Thread"]] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    kept: Kept | None = None
    waiting: bool = False
    deadline: float = float("inf")
    order: int = 0
    uniforms: Uniforms | None = None

    @property
    def clock(self) -> int:
        """Tokens in sequence from the beginning of the tree to here."""
        return self.start + self.own + self.waited

    @property
    def written(self) -> int:
        """Tokens after the first prompt, joined ones included."""
        return sum(len(call.token_ids) for call in self.calls)

    @property
    def children(self) -> list["Thread"]:
        """All threads spawned here, in order."""
        return [child for group in self.groups for child in group]


class ThreadProtocol(Protocol):
    """What spawning and joining look like. All methods see a thread's `ids`, `state` and `depth`, and may raise
    ParseError or ValueError: then that thread has failed."""

    ends: frozenset[int]
    """Tokens that end a call."""

    def spawn(self, thread: Thread) -> list[tuple[list[int], Any]] | None:
        """The children that the call that just ended asks for, as (prompt ids, state); None: it asks for none."""
        ...

    def join(self, thread: Thread, children: Sequence[Thread]) -> list[int]:
        """The thread's whole context after its children have ended."""
        ...

    def claims(self, thread: Thread) -> bool:
        """Whether an ended thread says that it has a solution."""
        ...

    def verifies(self, thread: Thread) -> bool:
        """Whether that solution passes the environment's checker."""
        ...


class NoThreads:
    """The protocol of plain sampling: a call ends at its end token, and nothing is spawned."""

    def __init__(self, ends: Sequence[int]) -> None:
        self.ends = frozenset(ends)

    def spawn(self, thread: Thread) -> None:
        return

    def join(self, thread: Thread, children: Sequence[Thread]) -> list[int]:
        raise ValueError("plain sampling has no threads")

    def claims(self, thread: Thread) -> bool:
        return False

    def verifies(self, thread: Thread) -> bool:
        return False


@dataclass(slots=True)
class Stats:
    """What a run of the engine cost.

    Attributes:
        seconds: wall clock.
        steps: decoding steps.
        row_steps: rows over all steps.
        sampled, fed, prefilled: tokens that were drawn, fed beside others, and computed in passes of their own.
        reused: tokens whose keys and values came back instead of being computed again.
    """

    seconds: float = 0.0
    steps: int = 0
    row_steps: int = 0
    sampled: int = 0
    fed: int = 0
    prefilled: int = 0
    reused: int = 0


@dataclass(frozen=True, slots=True)
class Tree:
    """What came of a request: its threads, the root first."""

    threads: tuple[Thread, ...]

    @property
    def root(self) -> Thread:
        return self.threads[0]

    @property
    def sampled(self) -> int:
        """Tokens sampled by all threads."""
        return sum(thread.own for thread in self.threads)

    @property
    def total(self) -> int:
        """All tokens of all threads that began, prompts and joined text included; the parent's counted once."""
        return sum(len(thread.ids) for thread in self.threads if thread.calls)

    @property
    def longest(self) -> int:
        """Tokens of the longest context (the paper's sequential tokens)."""
        return max(len(thread.ids) for thread in self.threads)

    @property
    def critical_path(self) -> int:
        """Sampled tokens in sequence: a parent before the spawn, its slowest child, and the parent after the join."""
        return self.root.clock


def set_deadline(thread: Thread, clock: int) -> None:
    """A thread, and all below it, may not go on past this point of the tree's clock."""
    thread.deadline = min(thread.deadline, clock)
    for child in thread.children:
        set_deadline(child, clock)


def cut(thread: Thread) -> None:
    """Take away what a thread did after its deadline, because it happened to run ahead of its siblings."""
    deadline = thread.deadline
    joins = [max(child.clock for child in group) for group in thread.groups]
    if thread.clock < deadline or (thread.clock == deadline and not (joins and joins[-1] == deadline)):
        return
    for group, joined in zip(thread.groups, joins, strict=True):
        if joined >= deadline:
            for child in group:
                child.joined_at = None
    thread.groups = [group for group in thread.groups if group[0].start < deadline]
    for child in thread.children:
        cut(child)
    if thread.calls and thread.start >= deadline:  # it took the place of a sibling that ran ahead, too
        thread.ids, thread.calls = list(thread.calls[0].prompt_ids), []
    if not thread.calls:
        never_began(thread, int(deadline))
        return
    thread.calls = [call for call in thread.calls if call.begun < deadline]
    call = thread.calls[-1]
    kept = sum(
        clock < deadline or (clock == deadline and sampled)
        for clock, sampled in zip(call.clocks, call.sampled, strict=True)
    )
    for values in (call.token_ids, call.logprobs, call.sampled, call.clocks):
        del values[kept:]
    thread.ids = [*call.prompt_ids, *call.token_ids]
    thread.own = sum(sum(call.sampled) for call in thread.calls)
    thread.waited = int(deadline) - thread.start - thread.own
    thread.status, thread.reason = Status.CANCELLED, SIBLING


def never_began(thread: Thread, clock: int) -> None:
    """Mark a thread as cancelled at this point of the tree's clock, before its first token."""
    thread.start, thread.own, thread.waited = clock, 0, 0
    thread.status, thread.reason = Status.CANCELLED, SIBLING


def numbered(root: Thread) -> list[Thread]:
    """A tree's threads, parents before children, with their ids; what only running needs is dropped."""
    found, queue = [], [root]
    while queue:
        thread = queue.pop(0)
        thread.id, thread.kept, thread.uniforms = len(found), None, None
        found.append(thread)
        queue += thread.children
    return found
