"""A compact text for the same searches: about eight tokens a node, one token a word, and the same tree when read back.

The verbatim grammar spends some sixty tokens on a node, most of them on words that never change. Here a node is

    goal 30 @ #0 3 8 1 |        a thread's prompt: the target, and where it starts
    8 - 3 = 5 #1 1 5            an inner node: the operation, its name, the numbers that are left
    5 * 1 = 5 30 no             a leaf: the operation, the target beside the result, the verdict
    @ #1 1 5 |                  the search moves to a node
    enter #1 1 5 | … exit       SoS+: a depth-first search below a node
    spawn #3 #1 run             APR: a thread for each of these nodes; the parent's call ends here
    join #1 5 * 6 = 30 end      written by the engine: which threads claim a solution, and how they got there
    won #1                      a thread's end after a join: by way of this node
    none                        its end without a solution

Notable: whatever has to be looked up stands after the words by which it was said before (`#1 1 5`), and nothing is
said twice: a thread that reaches the target ends with that leaf's `yes`, one that was told of a solution ends with the
node that it came by, and the closing path is what stands there. With the operation between name and numbers, a small
model took more than twice as long to learn which numbers a node has; with the closing path spelled out, the name after
`won` was the word it knew least. Nodes are named by the order in which their thread generated them, and every thread's
start is #0, so a child thread needs nothing of its parent. Threads without a solution are not listed in a join.
`calls 9` or `tokens 3` before the prompt conditions on a budget. The tests read every call back to its search.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from turnsmith.errors import ParseError
from turnsmith.worlds.countdown.problem import Operation, Problem
from turnsmith.worlds.countdown.search import Event, Explored, Moving, Node, Search, Spawn, SubSearch

SIGNS = ("+", "-", "*", "/")
MARKS = ("=", "|", "goal", "@", "enter", "exit", "spawn", "run", "join", "end", "won", "none", "yes", "no")
BUDGETS = ("calls", "tokens")


@dataclass(frozen=True, slots=True)
class WordCall:
    """One model call in words: what it is given, what stands after that, and which of those words the model chose.

    Attributes:
        prompt: given.
        words: what follows.
        chosen: for each of `words`, False where the engine wrote it (joined results).
        node: where the thread started; () is the parent.
    """

    prompt: tuple[str, ...]
    words: tuple[str, ...]
    chosen: tuple[bool, ...]
    node: tuple[int, ...] = ()


def operation_words(operation: Operation) -> list[str]:
    """`8 - 3 = 5` as words."""
    return [str(operation.left), operation.sign, str(operation.right), "=", str(operation.result)]


def prompt_words(target: int, numbers: Sequence[int], budget: Sequence[str] = ()) -> list[str]:
    """All that a thread is given: an optional budget and its start."""
    return [*budget, "goal", str(target), *_state("@", 0, numbers)]


def _state(mark: str, name: int, numbers: Sequence[int]) -> list[str]:
    return [mark, *_named(name, numbers), "|"]


def _named(name: int, numbers: Sequence[int]) -> list[str]:
    return [f"#{name}", *map(str, numbers)]


class _Writer:
    """Writes one thread; remembers the names that it gave to nodes, and whether it has come to the target itself."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.arrived = False
        self.names: dict[tuple[int, ...], int] = {search.start.path: 0}

    def events(self, events: Sequence[Event], skip_first: bool) -> list[str]:
        words: list[str] = []
        for index, event in enumerate(events):
            if isinstance(event, Moving):
                if index or not skip_first:
                    words += _state("@", self.names[event.node.path], event.node.numbers)
            elif isinstance(event, Explored):
                words += self.explored(event)
            elif isinstance(event, SubSearch):
                words += _state("enter", self.names[event.node.path], event.node.numbers)
                words += self.events(event.events, skip_first=True)
                words += [] if event.solved else ["exit"]
        return words

    def explored(self, event: Explored) -> list[str]:
        operation = operation_words(event.node.operations[-1])
        if event.solved is None:
            name = self.names[event.node.path] = len(self.names)
            return [*operation, *_named(name, event.node.numbers)]
        self.arrived |= event.solved
        return [*operation, str(self.search.problem.target), "yes" if event.solved else "no"]

    def ending(self) -> list[str]:
        """Nothing after a leaf that is the target; else `won` and the node by way of which a thread came to it."""
        solution = self.search.solution
        if solution is None:
            return ["none"]
        if self.arrived:
            return []
        on_the_way = [path for path in self.names if path == solution.path[: len(path)]]
        return ["won", f"#{self.names[max(on_the_way, key=len)]}"]


def path_words(operations: Sequence[Operation]) -> list[str]:
    """A clean path in words."""
    return [word for operation in operations for word in operation_words(operation)]


def serial_call(search: Search, budget: Sequence[str] = ()) -> WordCall:
    """SoS+: the one call of a serial search (also: a child thread's)."""
    writer = _Writer(search)
    words = [*writer.events(search.events, skip_first=True), *writer.ending()]
    prompt = prompt_words(search.problem.target, search.start.numbers, budget)
    return WordCall(tuple(prompt), tuple(words), (True,) * len(words), search.start.path)


def spawn_words(names: Sequence[int]) -> list[str]:
    """What ends a parent's call."""
    return ["spawn", *(f"#{name}" for name in names), "run"]


def join_words(won: Sequence[tuple[int, Sequence[str]]]) -> list[str]:
    """What the engine writes when the threads have ended: (name, words of the clean path) of those that claim one."""
    return ["join", *(word for name, path in won for word in (f"#{name}", *path)), "end"]


def parallel_calls(search: Search, budget: Sequence[str] = (), rewrite: bool = False) -> list[WordCall]:
    """APR: every model call of a search, the parent's and the children's.

    Args:
        search: from `solve_parallel`.
        budget: of the parent.
        rewrite: the paper's join: the spawn block is deleted and the parent starts again from the rewritten text, one
            call more than it has spawns. False: the join is appended after the spawn block, and the parent is one call.
    """
    writer = _Writer(search)
    prompt = prompt_words(search.problem.target, search.start.numbers, budget)
    calls: list[WordCall] = []
    words: list[str] = []
    chosen: list[bool] = []
    for event in search.events[1:]:
        if not isinstance(event, Spawn):
            words += (new := writer.events((event,), skip_first=False))
            chosen += [True] * len(new)
            continue
        names = [writer.names[child.start.path] for child in event.children]
        asked = spawn_words(names)
        join = join_words(winners(event, names))
        children = [serial_call(child) for child in event.children]
        if rewrite:
            calls.append(WordCall(tuple(prompt), (*words, *asked), (*chosen, *(True for _ in asked))))
            prompt, words, chosen = [*prompt, *words, *join], [], []
        else:
            words += [*asked, *join]
            chosen += [True] * len(asked) + [False] * len(join)
        calls += children
    ending = writer.ending()
    calls.append(WordCall(tuple(prompt), (*words, *ending), (*chosen, *(True for _ in ending))))
    return calls


def winners(spawn: Spawn, names: Sequence[int]) -> list[tuple[int, list[str]]]:
    """What `join_words` is told of a spawn whose children's nodes have these names."""
    return [
        (name, path_words(child.solution.operations[len(child.start.operations) :]))
        for name, child in zip(names, spawn.children, strict=True)
        if child.solution is not None
    ]


# -- showing


def lines(words: Sequence[str]) -> str:
    """Words as lines a person can read: one an operation, a move, a spawn, a join."""
    text, head = "", ""
    for at, word in enumerate(words):
        starts = word in ("@", "enter", "exit", "spawn", "join", "won", "none") and words[max(0, at - 2)] != "goal"
        operation = at + 1 < len(words) and is_number(word) and words[at + 1] in SIGNS
        after = at > 0 and words[at - 1] in ("yes", "no", "end", "run", "exit")
        new = at > 0 and (starts or after or (operation and head not in ("won", "join")))
        head = word if new or not at else head
        text += ("\n" if new else " " if at else "") + word
    return text


# -- reading


class Reader:
    """A cursor over words that knows the grammar."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words, self.at = words, 0

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def take(self, expected: str | None = None) -> str:
        word = self.peek()
        if not word or (expected is not None and word != expected):
            raise ParseError(f"word {self.at + 1}: expected {expected or 'another word'}, found {word or 'the end'!r}")
        self.at += 1
        return word

    def number(self) -> int:
        word = self.take()
        if not is_number(word):
            raise ParseError(f"word {self.at}: {word!r} is not a number")
        return int(word)

    def name(self) -> int:
        word = self.take()
        if not (word[0] == "#" and is_number(word[1:])):
            raise ParseError(f"word {self.at}: {word!r} does not name a node")
        return int(word[1:])

    def numbers(self, count: int) -> tuple[int, ...]:
        return tuple(self.number() for _ in range(count))

    def operation(self) -> Operation:
        left, sign, right = self.number(), self.take(), self.number()
        if sign not in SIGNS:
            raise ParseError(f"word {self.at - 1}: {sign!r} is not a sign")
        self.take("=")
        return Operation(left, sign, right, self.number())

    def operations(self) -> list[Operation]:
        found = []
        while is_number(self.peek()):
            found.append(self.operation())
        return found


def is_number(word: str) -> bool:
    """Whether a word is a number in ASCII digits."""
    return 0 < len(word) <= 18 and word.isascii() and word.isdigit()


def read_prompt(words: Sequence[str]) -> tuple[Problem, int]:
    """The problem that a thread's words begin with, and how many words its prompt has.

    Raises:
        ParseError: if they do not begin with a prompt.
    """
    reader = Reader(words)
    if reader.peek() in BUDGETS:
        reader.take()
        reader.number()
    reader.take("goal")
    target = reader.number()
    reader.take("@")
    reader.take("#0")
    numbers = []
    while reader.peek() != "|":
        numbers.append(reader.number())
    reader.take("|")
    if not numbers:
        raise ParseError("the prompt has no numbers")
    return Problem(target, tuple(numbers)), reader.at


# -- what the engine asks of a thread that a model wrote


def asked_nodes(words: Sequence[str], start: Node, target: int) -> list[tuple[int, Node]]:
    """The nodes that a thread's closing spawn asks threads for, in order and each once.

    Args:
        words: the thread so far, prompt included, ending in `spawn … run`.
        start: where the thread started; operations of its nodes are put after its own.
        target: of the problem.

    Returns:
        (name, node). A model's arithmetic is taken as it says; only the final path is checked.

    Raises:
        ParseError: if the spawn is malformed, empty, or names a node whose line is missing or malformed.
    """
    at = len(words) - 1 - next((i for i, word in enumerate(reversed(words)) if word == "spawn"), len(words))
    if at < 0 or not words or words[-1] != "run":
        raise ParseError("the thread does not end in a spawn")
    said, reader = _said(words[:at], start), Reader(words)
    reader.at = at + 1
    asked: dict[int, Node] = {}
    while reader.peek() != "run":
        name = reader.name()
        if name == 0:
            raise ParseError("a thread cannot spawn its own start again")
        asked.setdefault(name, said.node(name))
    if not asked:
        raise ParseError("the spawn names no node")
    return list(asked.items())


@dataclass(slots=True)
class _Said:
    """What a thread's words say.

    Attributes:
        places: its nodes by their names.
        joined: what other threads, by the names of their nodes, are said to have found.
        arrived: how the leaf that was last said to be the target was reached; None where none was.
    """

    places: dict[int, Node]
    joined: dict[int, list[Operation]]
    arrived: Node | None = None

    def node(self, name: int) -> Node:
        if name not in self.places:
            raise ParseError(f"node #{name} was never generated")
        return self.places[name]


def _said(words: Sequence[str], start: Node) -> _Said:
    """Read a thread's words for their nodes, a line `a - b = c #name n …` each, and for what was found."""
    said, here, reader = _Said({0: start}, {}), start, Reader(words)
    count: dict[tuple[int, ...], int] = {}
    while reader.at < len(words):
        word = reader.peek()
        if is_number(word):
            operation = reader.operation()
            place = count[here.path] = count.get(here.path, -1) + 1
            if reader.peek().startswith("#"):
                if len(here.numbers) < 2:  # else a text could go down for ever, each node longer than the one before
                    raise ParseError(f"word {reader.at + 1}: a node with one number left has no nodes below it")
                name = reader.name()
                said.places[name] = here.child(place, operation, reader.numbers(len(here.numbers) - 1))
                continue
            reader.number()
            if reader.take() == "yes":
                said.arrived = here.child(place, operation, (operation.result,))
            continue
        reader.take()
        if word == "join":
            while reader.peek() != "end":
                name = reader.name()
                said.joined[name] = reader.operations()
            reader.take("end")
        elif word in ("goal", *BUDGETS):
            reader.number()
        elif word in ("@", "enter"):
            here = said.node(reader.name())
            while reader.take() != "|":
                pass
    return said


def claimed(words: Sequence[str], start: Node) -> list[Operation] | None:
    """The whole path from a thread's start to the target, as the thread says it.

    Args:
        words: the thread, prompt included and its end-of-sequence word not.
        start: where it started.

    Returns:
        Operations; None where nothing is claimed, or what is claimed does not read as a path.
    """
    try:
        if words[-1:] == ["yes"]:
            arrived = _said(words, start).arrived
            return None if arrived is None else list(arrived.operations[len(start.operations) :])
        if words[-2:-1] != ["won"]:
            return None
        said, reader = _said(words[:-2], start), Reader(words[-1:])
        name = reader.name()
        if name not in said.joined:
            return None
        return [*said.node(name).operations[len(start.operations) :], *said.joined[name]]
    except ParseError:
        return None
