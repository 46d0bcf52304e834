"""How searches are said to a model and read from one: the paper's own text, and the compact one.

A *wording* does both sides. It writes examples (`serial`, `parallel`) for supervised training, and it is the engine's
protocol of threads (`engine.tree.ThreadProtocol`): what a root is given, what a spawn asks for, what a join puts in.

A child is given its start (and nothing of its parent); its closing path, as it says it, is what is joined. Joins are
not checked, as in the paper: a false claim misleads the parent. Only cancelling at the first verified success looks at
the path with the environment's checker, which needs nothing but the problem.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from turnsmith.engine.tree import Status, Thread, ThreadProtocol
from turnsmith.errors import ParseError
from turnsmith.recipes.apr.config import Budget, Join
from turnsmith.trace.types import Call
from turnsmith.worlds.countdown import compact, grammar
from turnsmith.worlds.countdown.problem import Operation, Problem, check
from turnsmith.worlds.countdown.search import Node, Search
from turnsmith.worlds.countdown.vocabulary import Vocabulary

TOKENS_UNIT = 64
"""Compact text: `tokens 3` promises a serial thread of at most 3 times this many tokens."""
TOKENS_STEP = 512
"""The paper's text: `Token Budget: M` with M the next multiple of this."""


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


@dataclass(frozen=True, slots=True)
class Said:
    """One model call of a search as tokens.

    Attributes:
        prompt_ids: what the model is given.
        token_ids: what follows, the end included.
        chosen: which of those the model says (joined results are the engine's).
        parent: whether it is a root's call.
        solved: whether a child's call ends with a solution.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    chosen: tuple[bool, ...]
    parent: bool = True
    solved: bool = False


class Wording(ThreadProtocol, Protocol):
    """One way to say searches."""

    vocabulary_size: int
    """Tokens that a model needs."""
    end: int
    """The end-of-sequence token."""

    def prompt(self, problem: Problem, budget: Budget | None = None, serial: bool = False) -> list[int]:
        """The ids that a root is given; a serial one never spawns."""
        ...

    def serial(self, search: Search) -> Said:
        """SoS+: the one call of a serial search, without a budget."""
        ...

    def told(self, said: Said) -> Said:
        """A serial call that is told how long it will be."""
        ...

    def listing(self, search: Search) -> Said:
        """A serial call without the words that end it: what a search lists, not what it does next."""
        ...

    def parallel(self, search: Search, budget: Budget | None = None) -> list[Said]:
        """APR: every call of a search, the parent's and the children's, in order."""
        ...

    def path(self, thread: Thread) -> Sequence[Operation | str] | None:
        """The closing path that a thread claims; None where it claims none."""
        ...

    def shown(self, ids: Sequence[int]) -> str:
        """Tokens as lines that a person can read."""
        ...

    def meaning(self, before: Sequence[int], ids: Sequence[int], start: Node) -> Call | None:
        """What a stretch of a thread came to after what stands before it: a spawn, an answer, or neither."""
        ...

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`, from which the viewer takes the text of each token."""
        ...


class CompactThreads:
    """The compact grammar (`worlds.countdown.compact`): one token a word."""

    def __init__(self, vocabulary: Vocabulary, join: Join = "append") -> None:
        """Words and their ids, and which join."""
        self.vocabulary, self.mode = vocabulary, join
        self.vocabulary_size = len(vocabulary)
        self._run, self._join, self._spawn = (vocabulary.id(word) for word in ("run", "join", "spawn"))
        self.end = vocabulary.eos
        self.ends = frozenset({self.end, self._run, self._join})

    # -- examples

    def prompt(self, problem: Problem, budget: Budget | None = None, serial: bool = False) -> list[int]:
        return self.vocabulary.ids(compact.prompt_words(problem.target, problem.numbers, self._words(budget)))

    def _words(self, budget: Budget | None) -> tuple[str, ...]:
        if budget is None:
            return ()
        return (budget.kind, str(-(-budget.count // TOKENS_UNIT) if budget.kind == "tokens" else budget.count))

    def serial(self, search: Search) -> Said:
        return self._said(compact.serial_call(search))

    def told(self, said: Said) -> Said:
        length = len(said.prompt_ids) + len(said.token_ids) + 2  # the budget's own words count
        budget = self.vocabulary.ids(self._words(Budget("tokens", length)))
        return Said((*budget, *said.prompt_ids), said.token_ids, said.chosen)

    def listing(self, search: Search) -> Said:
        call = compact.serial_call(search)  # ends in the `none` of a search that found nothing
        ids = tuple(self.vocabulary.ids(call.words[:-1]))
        return Said(tuple(self.vocabulary.ids(call.prompt)), ids, (True,) * len(ids))

    def parallel(self, search: Search, budget: Budget | None = None) -> list[Said]:
        calls = compact.parallel_calls(search, self._words(budget), rewrite=self.mode == "rewrite")
        return [self._said(call) for call in calls]

    def _said(self, call: compact.WordCall) -> Said:
        ids: list[int] = []
        chosen: list[bool] = []
        for word, by_model in zip(call.words, call.chosen, strict=True):
            new = self.vocabulary.ids([word])
            ids += new
            chosen += [by_model] * len(new)
        if ids[-1] != self._run:  # a call that ends in a spawn has no other end
            ids, chosen = [*ids, self.vocabulary.eos], [*chosen, True]
        prompt = tuple(self.vocabulary.ids(call.prompt))
        return Said(prompt, tuple(ids), tuple(chosen), call.node == (), call.words[-1] != "none")

    # -- the engine's protocol

    def spawn(self, thread: Thread) -> list[tuple[list[int], object]] | None:
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

    # -- what is shown

    def shown(self, ids: Sequence[int]) -> str:
        return compact.lines(self.vocabulary.words(ids))

    def meaning(self, before: Sequence[int], ids: Sequence[int], start: Node) -> Call | None:
        words = self.vocabulary.words(ids)
        if words[-1] == "run":
            at = len(words) - 1 - list(reversed(words)).index("spawn") if "spawn" in words else len(words) - 1
            return Call("spawn", {"nodes": list(words[at + 1 : -1])})
        ended = list(words[:-1]) if words[-1] == "<eos>" else list(words)
        path = None
        if ended[-1:] == ["yes"] or "won" in ended:
            path = compact.claimed([*self.vocabulary.words(before), *ended], start)
        if path is not None:
            return Call("answer", {"text": ", ".join(map(str, path))})
        return Call("answer", {"text": "none"}) if ended and ended[-1] == "none" else None

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder)


class VerbatimThreads:
    """The paper's text (`worlds.countdown.grammar`) under any tokenizer, with its rewriting join.

    A call is the start token, its text and the end token. Token ids are kept as they were sampled up to the spawn
    block; only what the engine writes is encoded.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """A tokenizer with an end-of-sequence token, which ends every call (and begins it, if none is for that)."""
        self.tokenizer = tokenizer
        end, begin = tokenizer.eos_token_id, getattr(tokenizer, "bos_token_id", None)
        assert isinstance(end, int)
        self.end, self.begin = end, begin if isinstance(begin, int) else end
        self.ends = frozenset({end})
        self.vocabulary_size = len(tokenizer)

    # -- examples

    def prompt(self, problem: Problem, budget: Budget | None = None, serial: bool = False) -> list[int]:
        start = Node((), problem.numbers)
        text = grammar.serial_prompt(problem, start) if serial else grammar.child_prompt(problem, start)
        return self._given(grammar.budget_prefix(budget.kind, budget.count) + text if budget else text)

    def serial(self, search: Search) -> Said:
        prompt = grammar.serial_prompt(search.problem, search.start)
        return self._said(prompt, grammar.serial_text(search).removeprefix(prompt))

    def told(self, said: Said) -> Said:
        length = len(said.prompt_ids) + len(said.token_ids)
        prefix = self.encode(grammar.budget_prefix("tokens", -(-length // TOKENS_STEP) * TOKENS_STEP))
        return Said((said.prompt_ids[0], *prefix, *said.prompt_ids[1:]), said.token_ids, said.chosen)

    def listing(self, search: Search) -> Said:
        said = self.serial(search)
        ending = len(self.encode(f"{grammar.NO_SOLUTION}\n")) + 1
        return Said(said.prompt_ids, said.token_ids[:-ending], said.chosen[:-ending])

    def parallel(self, search: Search, budget: Budget | None = None) -> list[Said]:
        prefix = "" if budget is None else grammar.budget_prefix(budget.kind, budget.count)
        return [
            self._said(
                call.prompt if call.node else prefix + call.prompt,
                call.text,
                call.node == (),
                grammar.clean_path(call.text) is not None,
            )
            for call in grammar.parallel_calls(search)
        ]

    def _said(self, prompt: str, text: str, parent: bool = True, solved: bool = False) -> Said:
        ids = (*self.encode(text), self.end)
        return Said(tuple(self._given(prompt)), ids, (True,) * len(ids), parent, solved)

    def _given(self, text: str) -> list[int]:
        return [self.begin, *self.encode(text)]

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode([token for token in ids if token not in (self.end, self.begin)]))

    # -- the engine's protocol

    def spawn(self, thread: Thread) -> list[tuple[list[int], object]] | None:
        parsed = grammar.parse_spawn(self.text(thread.ids))
        if parsed is None:
            return None
        place: Place = thread.state
        return [
            (self._given(grammar.child_prompt(place.problem, node)), Place(place.problem, node)) for node in parsed[1]
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

    # -- what is shown

    def shown(self, ids: Sequence[int]) -> str:
        return self.text(ids)

    def meaning(self, before: Sequence[int], ids: Sequence[int], start: Node) -> Call | None:
        text = self.text(ids).rstrip("\n")
        if text.endswith(grammar.END_CALLING):
            block = text.rpartition(grammar.CALLING)[2]
            return Call("spawn", {"nodes": [line.rpartition("#")[2] for line in block.split("\n")[1:-1]]})
        path = grammar.claimed_operations(self.text([*before, *ids]))
        if path is not None:
            return Call("answer", {"text": ", ".join(path)})
        return Call("answer", {"text": "none"}) if text.endswith(grammar.NO_SOLUTION) else None

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)
