"""The symbolic solvers whose traces teach the models: SoS+ (serial) and APR (threads that spawn and join).

Both are beam-limited best-first searches. An expanded node keeps its `beam` best children by the heuristic (at the last
level too, so that a correct last operation can be pruned), and one coin a node says whether it is promising: SoS+ then
searches its children depth-first by recursion, APR spawns a thread for each of them. The solvers return what happened
as a tree of events, which a grammar prints and parses.
"""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from turnsmith.worlds.countdown.problem import Operation, Problem, successors


@dataclass(frozen=True, slots=True)
class Node:
    """A state of the search.

    Attributes:
        path: its id, the places of its ancestors' children in the order in which they were printed; () is the root.
        numbers: what is left.
        operations: how it was reached from the problem.
    """

    path: tuple[int, ...]
    numbers: tuple[int, ...]
    operations: tuple[Operation, ...] = ()

    def child(self, place: int, operation: Operation, numbers: tuple[int, ...]) -> "Node":
        """The node that `operation` leads to."""
        return Node((*self.path, place), numbers, (*self.operations, operation))


@dataclass(frozen=True, slots=True)
class Moving:
    """The search looks at this node."""

    node: Node


@dataclass(frozen=True, slots=True)
class Explored:
    """A child was tried: a node of its own, or, with one number left, a leaf that is the target or is not."""

    node: Node
    solved: bool | None
    """None for an inner node; for a leaf, whether it is the target."""


@dataclass(frozen=True, slots=True)
class SubSearch:
    """SoS+: a depth-first search below a promising node's child."""

    level: int
    node: Node
    events: tuple["Event", ...]
    solved: bool


@dataclass(frozen=True, slots=True)
class Spawn:
    """APR: a thread for each of these children; all of them ran to their end."""

    children: tuple["Search", ...]


Event = Moving | Explored | SubSearch | Spawn


@dataclass(frozen=True, slots=True)
class Search:
    """One thread of search from one node.

    Attributes:
        problem: what is searched for.
        start: where this thread began.
        events: what it did, in order.
        solution: the leaf that reached the target, found here or in a child; None where nothing was found.
    """

    problem: Problem
    start: Node
    events: tuple[Event, ...]
    solution: Node | None

    @property
    def children(self) -> Iterator["Search"]:
        """The threads spawned here, in order."""
        for event in self.events:
            if isinstance(event, Spawn):
                yield from event.children


@lru_cache(maxsize=4096)
def divisors(target: int) -> tuple[int, ...]:
    """The divisors of the target from 2 to the target."""
    return tuple(f for f in range(2, target + 1) if target % f == 0)


def heuristic(target: int, numbers: tuple[int, ...]) -> int:
    """How far the numbers are from divisors of the target, lower is better.

    h = Σ_i min_f |n_i − f|, f over the divisors of the target from 2 (authors' code; the paper: min_f |f − Σ n_i|).
    A target below 2 has no such divisor, and then the distance to the target itself counts.
    """
    factors = divisors(target) or (target,)
    return sum(min(abs(number - f) for f in factors) for number in numbers)


@dataclass(frozen=True, slots=True)
class Style:
    """How a node's children are chosen and printed; the default is the paper's.

    Attributes:
        largest: moves with a larger result are left out; None: none are.
        shuffle: print children in random order and spawn them best heuristic first; False: both in the order of
            `successors` (threads run at the same time, so their order says nothing).
    """

    largest: int | None = None
    shuffle: bool = True


PAPER = Style()


@dataclass(slots=True)
class _Frontier:
    """The open nodes of one search, best heuristic first, first come first served among equals."""

    target: int
    heap: list[tuple[int, int, Node]] = field(default_factory=list)
    count: int = 0

    def push(self, node: Node) -> None:
        heapq.heappush(self.heap, (heuristic(self.target, node.numbers), self.count, node))
        self.count += 1

    def pop(self, most: int) -> list[Node]:
        return [heapq.heappop(self.heap)[2] for _ in range(min(most, len(self.heap)))]


def expand(problem: Problem, node: Node, beam: int, rng: random.Random, style: Style) -> list[Node]:
    """The `beam` best children of a node, in the order in which they are printed."""
    allowed = [
        (place, move)
        for place, move in enumerate(successors(node.numbers))
        if style.largest is None or move[0].result <= style.largest
    ]
    kept = sorted(allowed, key=lambda item: heuristic(problem.target, item[1][1]))[:beam]
    if style.shuffle:
        rng.shuffle(kept)
    else:
        kept.sort(key=lambda item: item[0])
    return [node.child(place, operation, numbers) for place, (_, (operation, numbers)) in enumerate(kept)]


def is_leaf(problem: Problem, node: Node) -> bool | None:
    """Whether a leaf is the target; None for an inner node."""
    return node.numbers[0] == problem.target if len(node.numbers) == 1 else None


def solve_serial(
    problem: Problem, rng: random.Random, beam: int, promising: float = 0.5, style: Style = PAPER
) -> Search:
    """SoS+: one thread of search that goes depth-first below promising nodes.

    Args:
        problem: what to solve.
        rng: coins and shuffles.
        beam: children kept at each node (training data: uniform 1..5).
        promising: the probability that a node's children are searched depth-first at once.
        style: which children, and in which order.
    """
    root = Node((), problem.numbers)
    events, solution = _serial(problem, root, rng, beam, promising, 0, style)
    return Search(problem, root, tuple(events), solution)


def _serial(
    problem: Problem, start: Node, rng: random.Random, beam: int, promising: float, level: int, style: Style
) -> tuple[list[Event], Node | None]:
    events: list[Event] = []
    frontier = _Frontier(problem.target)
    frontier.push(start)
    while frontier.heap:
        for node in frontier.pop(beam):
            events.append(Moving(node))
            children = expand(problem, node, beam, rng, style)
            for child in children:
                events.append(Explored(child, is_leaf(problem, child)))
                if is_leaf(problem, child):
                    return events, child
            inner = [child for child in children if len(child.numbers) > 1]
            if rng.random() < promising:
                for child in sorted(inner, key=lambda child: heuristic(problem.target, child.numbers)):
                    below, solution = _serial(problem, child, rng, beam, promising, level + 1, style)
                    events.append(SubSearch(level + 1, child, tuple(below), solution is not None))
                    if solution is not None:
                        return events, solution
            else:
                for child in inner:
                    frontier.push(child)
    return events, None


def solve_parallel(
    problem: Problem, rng: random.Random, beam: int, child_beam: int, promising: float = 0.9, style: Style = PAPER
) -> Search:
    """APR: a parent thread whose promising nodes hand all kept children to threads; children never spawn.

    Args:
        problem: what to solve.
        rng: coins and shuffles.
        beam: children kept at each node of the parent (training data: uniform 1..10).
        child_beam: the same in child threads (training data: uniform beam..15).
        promising: the probability that a node with more than one kept inner child spawns (released command: 0.9).
        style: which children, and in which order.
    """
    root = Node((), problem.numbers)
    events: list[Event] = []
    frontier = _Frontier(problem.target)
    frontier.push(root)
    while frontier.heap:
        for node in frontier.pop(beam):
            events.append(Moving(node))
            children = expand(problem, node, beam, rng, style)
            for child in children:
                events.append(Explored(child, is_leaf(problem, child)))
                if is_leaf(problem, child):
                    return Search(problem, root, tuple(events), child)
            inner = [child for child in children if len(child.numbers) > 1]
            if len(inner) > 1 and rng.random() < promising:
                if style.shuffle:
                    inner.sort(key=lambda child: heuristic(problem.target, child.numbers))
                threads = tuple(solve_thread(problem, child, rng, child_beam, style) for child in inner)
                events.append(Spawn(threads))
                solved = [thread.solution for thread in threads if thread.solution is not None]
                if solved:
                    return Search(problem, root, tuple(events), solved[0])
            else:
                for child in inner:
                    frontier.push(child)
    return Search(problem, root, tuple(events), None)


def solve_thread(problem: Problem, start: Node, rng: random.Random, beam: int, style: Style = PAPER) -> Search:
    """One child thread: a serial search from a node, never depth-first."""
    events, solution = _serial(problem, start, rng, beam, 0.0, 0, style)
    return Search(problem, start, tuple(events), solution)
