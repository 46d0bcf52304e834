"""How Countdown's threads spawn and join, for the engine: in the compact grammar and in the paper's own text.

A child is given its start (and nothing of its parent); its closing path, as it says it, is what is joined. Joins are
not checked, as in the paper: a false claim misleads the parent. Only cancelling at the first verified success looks at
the path with the environment's checker, which needs nothing but the problem.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from turnsmith.engine.tree import Status, Thread
from turnsmith.errors import ParseError
from turnsmith.worlds.countdown import compact, grammar
from turnsmith.worlds.countdown.problem import Operation, Problem, check
from turnsmith.worlds.countdown.search import Node
from turnsmith.worlds.countdown.vocabulary import Vocabulary

Join = Literal["append", "rewrite"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thread started.

    Attributes:
        problem: the root's.
        start: the node, with the operations that led to it.
        name: what its parent calls it (compact grammar).
    """

    problem: Problem
    start: Node
    name: int = 0

    @classmethod
    def root(cls, problem: Problem) -> "Place":
        """The start of a tree."""
        return cls(problem, Node((), problem.numbers))

    def check(self, path: Sequence[Operation | str]) -> tuple[bool, str]:
        """The strict checker, on the whole path from the problem by way of this start."""
        return check(self.problem.target, self.problem.numbers, [*self.start.operations, *path])


class CompactThreads:
    """The compact grammar's protocol (`engine.threads.ThreadProtocol`)."""

    def __init__(self, vocabulary: Vocabulary, join: Join = "append") -> None:
        """Words and their ids, and which join."""
        self.vocabulary, self.mode = vocabulary, join
        self._run, self._join, self._spawn = (vocabulary.id(word) for word in ("run", "join", "spawn"))
        self.ends = frozenset({vocabulary.eos, self._run, self._join})

    def prompt(self, problem: Problem, budget: Sequence[str] = ()) -> list[int]:
        """The ids that a root is given."""
        return self.vocabulary.ids(compact.prompt_words(problem.target, problem.numbers, budget))

    def spawn(self, thread: Thread) -> list[tuple[list[int], Any]] | None:
        if thread.ids[-1] == self.vocabulary.eos:
            return None
        if thread.ids[-1] == self._join:
            raise ParseError("the thread wrote a join itself")
        place: Place = thread.state
        words = self.vocabulary.words(thread.ids)
        asked = compact.asked_nodes(words, place.start, place.problem.target)
        return [
            (
                self.vocabulary.ids(compact.prompt_words(place.problem.target, node.numbers)),
                Place(place.problem, node, name),
            )
            for name, node in asked
        ]

    def join(self, thread: Thread, children: Sequence[Thread]) -> list[int]:
        won = [
            (child.state.name, compact.path_words(path)) for child in children if (path := self.path(child)) is not None
        ]
        words = self.vocabulary.ids(compact.join_words(won))
        if self.mode == "append":
            return [*thread.ids, *words]
        at = len(thread.ids) - 1 - thread.ids[::-1].index(self._spawn)
        return [*thread.ids[:at], *words]

    def path(self, thread: Thread) -> list[Operation] | None:
        """The closing path that a thread claims, from its own start."""
        if thread.status is not Status.ENDED:
            return None
        ids = thread.ids[:-1] if thread.ids[-1] == self.vocabulary.eos else thread.ids
        return compact.claimed(self.vocabulary.words(ids), thread.state.start)

    def claims(self, thread: Thread) -> bool:
        return self.path(thread) is not None

    def verifies(self, thread: Thread) -> bool:
        path = self.path(thread)
        return path is not None and thread.state.check(path)[0]


class VerbatimThreads:
    """The paper's text under any tokenizer, with its rewriting join.

    Token ids are kept as they were sampled up to the spawn block; only what the engine writes is encoded.
    """

    def __init__(self, tokenizer: Any) -> None:
        """A tokenizer with an end-of-sequence token, which ends every call."""
        self.tokenizer = tokenizer
        self.ends = frozenset({tokenizer.eos_token_id})

    def prompt(self, problem: Problem) -> list[int]:
        """The ids that a root is given."""
        return self.encode(grammar.child_prompt(problem, Node((), problem.numbers)))

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode([token for token in ids if token not in self.ends])

    def spawn(self, thread: Thread) -> list[tuple[list[int], Any]] | None:
        parsed = grammar.parse_spawn(self.text(thread.ids))
        if parsed is None:
            return None
        place: Place = thread.state
        return [
            (self.encode(grammar.child_prompt(place.problem, node)), Place(place.problem, node)) for node in parsed[1]
        ]

    def join(self, thread: Thread, children: Sequence[Thread]) -> list[int]:
        body = self.text(thread.ids).rpartition(grammar.CALLING)[0]
        nodes = [child.state.start for child in children]
        texts = [self.written(child) if child.status is Status.ENDED else "" for child in children]
        block = grammar.join_block(nodes, texts)
        kept = len(thread.ids)
        while kept and not body.startswith(self.text(thread.ids[:kept])):
            kept -= 1
        return [*thread.ids[:kept], *self.encode(body[len(self.text(thread.ids[:kept])) :] + block)]

    def written(self, thread: Thread) -> str:
        """What a child wrote after its prompt."""
        return self.text(thread.ids[len(thread.calls[0].prompt_ids) :])

    def path(self, thread: Thread) -> list[str] | None:
        """All operations of the closing path, from the root of the tree."""
        return grammar.claimed_operations(self.text(thread.ids)) if thread.status is Status.ENDED else None

    def claims(self, thread: Thread) -> bool:
        return self.path(thread) is not None

    def verifies(self, thread: Thread) -> bool:
        problem, path = thread.state.problem, self.path(thread)
        return path is not None and check(problem.target, problem.numbers, path)[0]
