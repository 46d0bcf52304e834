"""An oracle of these tests: the compact grammar read back: words to the tree of events that they were written from.

Reading checks every word: what is not in the grammar, or says what the search cannot have done, is a `ParseError`.
"""

from collections.abc import Iterator, Sequence

from turnsmith.errors import ParseError
from turnsmith.worlds.countdown.compact import Reader, WordCall, join_words, read_prompt, winners
from turnsmith.worlds.countdown.problem import Problem
from turnsmith.worlds.countdown.search import Event, Explored, Moving, Node, Search, Spawn, SubSearch


class _Tree:
    """Reads one thread into events."""

    def __init__(
        self, words: Sequence[str], children: Iterator[WordCall], origin: tuple[Problem, Node] | None = None
    ) -> None:
        given, size = read_prompt(words)
        self.reader = Reader(words)
        self.reader.at = size
        self.problem, self.start = origin or (given, Node((), given.numbers))
        if (self.start.numbers, self.problem.target) != (given.numbers, given.target):
            raise ParseError(f"the prompt has {given.target}:{given.numbers}, which is not the state of its node")
        self.nodes = [self.start]
        self.level = 0
        self.children = children
        self.leaf: Node | None = None
        self.joined: Search | None = None

    def read(self) -> Search:
        events: list[Event] = [Moving(self.start), *self.events(self.start)]
        if self.joined is not None:
            self.reader.take("won")
            if self.node(self.reader.name()) != self.joined.start:
                raise ParseError(f"word {self.reader.at}: that is not the node of the first solution")
        elif self.leaf is None:
            self.reader.take("none")
        if self.reader.peek():
            raise ParseError(f"word {self.reader.at + 1}: {self.reader.peek()!r} stands after the end")
        solution = self.leaf if self.joined is None else self.joined.solution
        return Search(self.problem, self.start, tuple(events), solution)

    def events(self, node: Node) -> list[Event]:
        events: list[Event] = []
        place, reader = 0, self.reader
        while self.leaf is None and self.joined is None and reader.peek() not in ("none", "won", "exit", ""):
            word = reader.peek()
            if word == "@":
                node, place = self.state("@"), 0
                events.append(Moving(node))
            elif word == "enter":
                below = self.state("enter")
                self.level += 1
                inner = (Moving(below), *self.events(below))
                if self.leaf is None:
                    reader.take("exit")
                events.append(SubSearch(self.level, below, inner, self.leaf is not None))
                self.level -= 1
            elif word == "spawn":
                events.append(self.spawn())
            else:
                events.append(self.explored(node, place))
                place += 1
        return events

    def state(self, mark: str) -> Node:
        self.reader.take(mark)
        node = self.node(self.reader.name())
        if self.reader.numbers(len(node.numbers)) != node.numbers:
            raise ParseError(f"word {self.reader.at}: the state is not that of the node")
        self.reader.take("|")
        return node

    def node(self, name: int) -> Node:
        if name >= len(self.nodes):
            raise ParseError(f"word {self.reader.at}: node #{name} was never generated")
        return self.nodes[name]

    def explored(self, node: Node, place: int) -> Explored:
        operation = self.reader.operation()
        left_over = list(node.numbers)
        for operand in (operation.left, operation.right):
            if operand not in left_over:
                raise ParseError(f"word {self.reader.at}: {operand} is not among the numbers of the node")
            left_over.remove(operand)
        numbers = (*left_over, operation.result)
        child = node.child(place, operation, numbers)
        if self.reader.peek().startswith("#"):
            if self.reader.name() != len(self.nodes):
                raise ParseError(f"word {self.reader.at}: the next node is #{len(self.nodes)}")
            # Of two equal numbers either may have been used, so the order is the text's.
            numbers = self.reader.numbers(len(numbers))
            if sorted(numbers) != sorted(child.numbers):
                raise ParseError(f"word {self.reader.at}: these are not the numbers that are left")
            child = node.child(place, operation, numbers)
            self.nodes.append(child)
            return Explored(child, None)
        if len(numbers) != 1:
            raise ParseError(f"word {self.reader.at}: a leaf with several numbers left")
        target, verdict = self.reader.number(), self.reader.take()
        solved = numbers[0] == self.problem.target
        if target != self.problem.target or verdict != ("yes" if solved else "no"):
            raise ParseError(f"word {self.reader.at}: a wrong verdict")
        self.leaf = child if solved else None
        return Explored(child, solved)

    def spawn(self) -> Spawn:
        reader = self.reader
        reader.take("spawn")
        names = []
        while reader.peek() != "run":
            names.append(reader.name())
        reader.take("run")
        if not names:
            raise ParseError("the spawn names no node")
        threads = []
        for name in names:
            call = next(self.children, None)
            if call is None:
                raise ParseError(f"the thread of node #{name} is missing")
            origin = (self.problem, self.node(name))
            threads.append(_Tree([*call.prompt, *call.words], iter(()), origin).read())
        spawn = Spawn(tuple(threads))
        for word in join_words(winners(spawn, names)):
            reader.take(word)
        self.joined = next((thread for thread in threads if thread.solution is not None), None)
        return spawn


def read_serial(call: WordCall, origin: tuple[Problem, Node] | None = None) -> Search:
    """A serial thread as the tree that it was written from.

    Args:
        call: its words.
        origin: the whole problem and the node that a child thread started from; without, it started from the root.

    Raises:
        ParseError: at the first word that is not in the grammar, or says what the search cannot have done.
    """
    return _Tree([*call.prompt, *call.words], iter(()), origin).read()


def read_parallel(calls: Sequence[WordCall]) -> Search:
    """All calls of an APR search (`parallel_calls`, either join) as the tree that they were written from.

    Raises:
        ParseError: as `read_serial`.
    """
    parents = [call for call in calls if call.node == ()]
    if not parents:
        raise ParseError("there is no parent call")
    words = [*parents[0].prompt, *parents[0].words]
    before = list(words)
    for call in parents[1:]:  # the rewriting join: put the spawn block back before the join
        kept = len(before) - 1 - next((i for i, word in enumerate(reversed(before)) if word == "spawn"), 0)
        if list(call.prompt[:kept]) != before[:kept]:
            raise ParseError("a parent's call does not go on from the one before")
        words += [*call.prompt[kept:], *call.words]
        before = [*call.prompt, *call.words]
    return _Tree(words, (call for call in calls if call.node != ())).read()
