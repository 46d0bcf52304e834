"""An oracle of these tests: reads searches back from the verbatim grammar: the same tree of events that was printed.

Every line is matched by one anchored pattern; a line that no pattern matches, or that says what the search before it
cannot have done, is a `ParseError` with its number.
"""

import re
from collections.abc import Iterator, Sequence

from turnsmith.errors import ParseError
from turnsmith.worlds.countdown import grammar
from turnsmith.worlds.countdown.problem import Operation, Problem
from turnsmith.worlds.countdown.search import Event, Explored, Moving, Node, Search, Spawn, SubSearch

_NUMBERS = r"\[(\d{1,18}(?:, \d{1,18})*)\]"
_NAME = r"(\d+(?:,\d+)*)"
_MOVING = re.compile(rf"Moving to Node #{_NAME}", re.ASCII)
_STATE = re.compile(rf"Current State: (\d{{1,18}}):{_NUMBERS}, Operations: \[(.*)\]", re.ASCII)
_EXPLORING = re.compile(rf"Exploring Operation: (\S+), Resulting Numbers: {_NUMBERS}", re.ASCII)
_GENERATED = re.compile(rf"Generated Node #{_NAME}: (\d{{1,18}}):{_NUMBERS} Operation: (\S+)", re.ASCII)
_VERDICT = re.compile(r"(\d{1,18}),(\d{1,18}) (unequal: No Solution|equal: Goal Reached)", re.ASCII)
_ENTER = re.compile(rf"Start Sub Search at level (\d+): Moving to Node #{_NAME}", re.ASCII)


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(", "))


class _Tree:
    """A cursor over the lines of one thread."""

    def __init__(self, text: str, children: Iterator[grammar.Call], origin: tuple[Problem, Node] | None = None) -> None:
        self.lines = text.strip("\n").split("\n")
        self.at = 0
        self.children = children
        if self.lines[0].startswith("Moving to"):
            self.at = 1
        given, operations = self._first_state()
        self.problem, self.start = origin or (given, Node((), given.numbers, operations))
        if (self.start.numbers, self.problem.target) != (given.numbers, given.target):
            raise ParseError("the first state is not that of the thread's node")
        self.nodes = {self.start.path: self.start}
        self.leaf: Node | None = None
        self.joined: Node | None = None

    def error(self, what: str) -> ParseError:
        return ParseError(f"line {self.at + 1}: {what}: {self.line[:60]!r}")

    @property
    def line(self) -> str:
        return self.lines[self.at] if self.at < len(self.lines) else ""

    def match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.fullmatch(self.line)
        if match is None:
            raise self.error("not a line of the grammar")
        self.at += 1
        return match

    def _first_state(self) -> tuple[Problem, tuple[Operation, ...]]:
        match = self.match(_STATE)
        try:
            operations = tuple(Operation.parse(item.strip("'")) for item in match[3].split(", ") if item)
        except ValueError as error:
            raise ParseError(f"line {self.at}: {error}") from error
        return Problem(int(match[1]), _integers(match[2])), operations

    def state(self, node: Node) -> None:
        """The `Current State` line of this node."""
        if self.line + "\n" != grammar.state_line(self.problem, node):
            raise self.error("not the state of its node")
        self.at += 1

    def node(self, name: str) -> Node:
        node = self.nodes.get(grammar.node_path(name))
        if node is None:
            raise self.error(f"node #{name} was never generated")
        return node

    def read(self) -> Search:
        events: list[Event] = [Moving(self.start), *self.events(self.start)]
        found = self.leaf or self.joined
        rest = "\n".join(self.lines[self.at :]) + "\n"
        ending = f"{grammar.NO_SOLUTION}\n"
        if found is not None:
            ending = grammar.solution_path(self.problem, self.start, found)
            if self.joined is not None:
                ending = f"{self.problem.target},{self.problem.target} {grammar.GOAL_REACHED}\n{ending}"
        if rest != ending:
            raise self.error("not the ending of this search")
        return Search(self.problem, self.start, tuple(events), found)

    def events(self, node: Node) -> list[Event]:
        events: list[Event] = []
        place = 0
        while self.leaf is None and self.joined is None and self.line:
            if self.line.startswith("Moving to"):
                node, place = self.node(self.match(_MOVING)[1]), 0
                self.state(node)
                events.append(Moving(node))
            elif self.line.startswith("Start Sub Search"):
                events.append(self.sub_search())
            elif self.line.startswith("Exploring"):
                events.append(self.explored(node, place))
                place += 1
            elif self.line == grammar.CALLING:
                events.append(self.spawn())
            else:
                break
        return events

    def sub_search(self) -> SubSearch:
        match = self.match(_ENTER)
        node = self.node(match[2])
        self.state(node)
        events = (Moving(node), *self.events(node))
        if self.leaf is None:
            for expected in ("No solution found in sub search", f"Exit Sub Search at level {match[1]}"):
                if self.line != expected:
                    raise self.error(f"expected {expected!r}")
                self.at += 1
        return SubSearch(int(match[1]), node, events, self.leaf is not None)

    def explored(self, node: Node, place: int) -> Explored:
        exploring = self.match(_EXPLORING)
        try:
            operation = Operation.parse(exploring[1])
        except ValueError as error:
            raise ParseError(f"line {self.at}: {error}") from error
        child = node.child(place, operation, _integers(exploring[2]))
        if len(child.numbers) > 1:
            generated = self.match(_GENERATED)
            if grammar.node_path(generated[1]) != child.path or generated[3] != exploring[2]:
                raise ParseError(f"line {self.at}: not the node that was explored")
            self.nodes[child.path] = child
            return Explored(child, None)
        verdict = self.match(_VERDICT)
        result = _integers(exploring[2])[-1]
        solved = result == self.problem.target
        if int(verdict[1]) != result or verdict[3].startswith("equal") != solved:
            raise ParseError(f"line {self.at}: a wrong verdict")
        self.leaf = child if solved else None
        return Explored(child, solved)

    def spawn(self) -> Spawn:
        end = next((i for i in range(self.at, len(self.lines)) if self.lines[i] == grammar.END_CALLING), None)
        if end is None:
            raise self.error("the spawn block has no end")
        parsed = grammar.parse_spawn("\n".join(self.lines[: end + 1]) + "\n")
        assert parsed is not None
        threads, texts = [], []
        for asked in parsed[1]:
            call = next(self.children, None)
            if call is None:
                raise self.error("a child thread is missing")
            origin = (self.problem, self.nodes[asked.path])
            threads.append(_Tree(call.prompt + call.text, iter(()), origin).read())
            texts.append(call.text)
        self.at = end + 1
        for expected in grammar.join_block(parsed[1], texts).strip("\n").split("\n"):
            if self.line != expected:
                raise self.error(f"expected {expected[:60]!r}")
            self.at += 1
        self.joined = next((thread.solution for thread in threads if thread.solution is not None), None)
        return Spawn(tuple(threads))


def read_serial(text: str, origin: tuple[Problem, Node] | None = None) -> Search:
    """A serial thread (SoS+, or a child's prompt and text) as the tree that it was printed from.

    Args:
        text: all of it.
        origin: the whole problem and the node that a child thread started from; without, it started from the root.

    Raises:
        ParseError: at the first line that is not in the grammar, or says what the search cannot have done.
    """
    return _Tree(text, iter(()), origin).read()


def read_parallel(calls: Sequence[grammar.Call]) -> Search:
    """All calls of an APR search (`grammar.parallel_calls`) as the tree that they were printed from.

    Raises:
        ParseError: as `read_serial`; also where a parent's call does not go on from the one before it.
    """
    parents = [call for call in calls if call.node == ()]
    if not parents:
        raise ParseError("there is no parent call")
    text = before = parents[0].prompt + parents[0].text
    for call in parents[1:]:  # put the spawn block back before the joined results
        body = before.rpartition(grammar.CALLING)[0]
        if not call.prompt.startswith(body):
            raise ParseError("a parent's call does not go on from the one before")
        text += call.prompt[len(body) :] + call.text
        before = call.prompt + call.text
    return _Tree(text, (call for call in calls if call.node != ())).read()
