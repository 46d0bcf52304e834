"""Countdown tiers and what is learned from them: problems, splits, and examples from symbolic searches.

A tier is a size of the game that a model can learn. The laptop's has three numbers of 1 to 9 and results up to 99, one
token a number; children are printed in a fixed order, so that what is left to learn is arithmetic and the protocol and
not which of many equally good orders was drawn.

Held out are a quarter of all (target, multiset) pairs, and whole targets. What is trained on is checked against both.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from turnsmith.errors import UserError
from turnsmith.learn.examples import Example
from turnsmith.worlds.countdown import compact
from turnsmith.worlds.countdown.problem import Problem, generate, successors
from turnsmith.worlds.countdown.search import (
    Event,
    Explored,
    Moving,
    Node,
    Search,
    Style,
    expand,
    is_leaf,
    solve_parallel,
    solve_serial,
    solve_thread,
)
from turnsmith.worlds.countdown.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Tier:
    """A size of the game, and how its searches are written.

    Attributes:
        numbers, largest, targets: of `problem.generate`.
        largest_result: moves beyond it are left out; None: none are.
        beam: the widest beam of a search; training draws 1 to this.
        shuffle: print a node's children in random order (the paper) instead of a fixed one.
        digits: spell numbers digit by digit.
        names: node names that have a token.
        unseen: targets that no training problem has.
    """

    numbers: int = 3
    largest: int = 9
    targets: tuple[int, ...] = (10, 30)
    largest_result: int | None = 99
    beam: int = 12
    shuffle: bool = False
    digits: bool = False
    names: int = 16
    unseen: tuple[int, ...] = (14, 17, 26)

    def vocabulary(self) -> Vocabulary:
        """Words of this tier."""
        return Vocabulary(self.largest_result or 0, self.names, self.digits or self.largest_result is None)

    @property
    def style(self) -> Style:
        """How a node's children are chosen and printed."""
        return Style(self.largest_result, self.shuffle)

    def held_out(self, problem: Problem) -> bool:
        """Whether a problem belongs to the test side: by its target, or by a hash of target and sorted numbers."""
        digest = hashlib.sha256(repr(problem.key).encode()).digest()
        return problem.target in self.unseen or digest[0] < 64

    def draw(self, rng: random.Random, test: bool) -> Problem:
        """A solvable problem of one side."""
        low, high = self.targets
        while True:
            problem = generate(rng, self.numbers, self.largest, (low, high))
            if self.held_out(problem) == test:
                return problem

    def test_problems(self, count: int) -> list[Problem]:
        """Distinct test problems, the same for every seed and method."""
        rng, found = random.Random("apr test"), {}
        for _ in range(100 * count):
            if len(found) == count:
                break
            problem = self.draw(rng, test=True)
            found.setdefault(problem.key, problem)
        return list(found.values())


def check_overlap(train: Sequence[Problem], test: Sequence[Problem]) -> None:
    """Fail where a training problem is a test problem, with its numbers in any order.

    Raises:
        UserError: naming one.
    """
    held = {problem.key for problem in test}
    for problem in train:
        if problem.key in held:
            raise UserError(f"problem {problem.target} from {problem.numbers} is in training and test.")


def draw_parallel(tier: Tier, problem: Problem, rng: random.Random) -> Search:
    """APR's training search: parent beam uniform, child beam from there to the widest."""
    beam = rng.randint(1, tier.beam)
    return solve_parallel(problem, rng, beam, rng.randint(beam, tier.beam), style=tier.style)


def draw_serial(tier: Tier, problem: Problem, rng: random.Random) -> Search:
    """SoS+'s training search, with beams as wide as APR's: a stronger baseline than the paper's 1 to 5."""
    return solve_serial(problem, rng, rng.randint(1, tier.beam), style=tier.style)


TOKENS_UNIT = 64
"""`tokens 3` promises a serial thread of at most 3 times this many tokens."""


def serial_budget(tokens: int) -> tuple[str, str]:
    """The words that condition a serial thread on a length."""
    return ("tokens", str(-(-tokens // TOKENS_UNIT)))


def parallel_budget(children: int) -> tuple[str, str]:
    """The words that condition a parent on how many children a spawn has."""
    return ("calls", str(children))


def to_example(vocabulary: Vocabulary, call: compact.WordCall) -> Example:
    """A call as an example; what the engine wrote is not learned."""
    ids: list[int] = []
    mask: list[bool] = []
    for word, chosen in zip(call.words, call.chosen, strict=True):
        new = vocabulary.ids([word])
        ids += new
        mask += [chosen] * len(new)
    if ids[-1] != vocabulary.id("run"):  # a call that ends in a spawn has no other end
        ids, mask = [*ids, vocabulary.eos], [*mask, True]
    return Example(tuple(vocabulary.ids(call.prompt)), tuple(ids), tuple(mask))


def drills(tier: Tier, rng: random.Random) -> Iterator[Example]:
    """Warm-up without end: half child threads (arithmetic), half `expansion`s (listing moves, looking up a node).

    Targets are drawn from all numbers that have a token, half of them in reach, so that repeating the target is learned
    as repeating and not as a choice among a few. Held-out problems and unseen targets are left out.
    """
    vocabulary = tier.vocabulary()
    targets = [target for target in range(1, tier.largest_result or tier.targets[1]) if target not in tier.unseen]
    while True:
        numbers = tuple(rng.randint(1, tier.largest) for _ in range(tier.numbers))
        whole = rng.random() < 0.5
        start = numbers if whole else rng.choice(list(successors(numbers)))[1]
        reach = [result for result in _reached(start, rng) if result in targets]
        target = rng.choice(reach) if reach and rng.random() < 0.5 else rng.choice(targets)
        problem = Problem(target, start)
        if not whole:
            search = solve_thread(problem, Node((), start), rng, tier.beam, tier.style)
            yield to_example(vocabulary, compact.serial_call(search))
        elif not tier.held_out(problem):
            yield expansion(tier, problem, rng)


def _reached(numbers: tuple[int, ...], rng: random.Random) -> list[int]:
    """What the last move may come to, after random ones."""
    while len(numbers) > 2:
        numbers = rng.choice(list(successors(numbers)))[1]
    return [move.result for move, _ in successors(numbers)]


def expansion(tier: Tier, problem: Problem, rng: random.Random) -> Example:
    """The widest listing of moves from the start, and of those from one of its nodes, drawn evenly, up to the target.

    What a search does next is its method's choice, so these examples have no end.
    """
    node = start = Node((), problem.numbers)
    events: list[Event] = []
    for _ in range(2):
        children = expand(problem, node, tier.beam, rng, tier.style)
        listed = [Explored(child, is_leaf(problem, child)) for child in children]
        stop = next((at for at, event in enumerate(listed, start=1) if event.solved), len(listed))
        events += [Moving(node), *listed[:stop]]
        node = rng.choice(children)
    vocabulary, call = tier.vocabulary(), compact.serial_call(Search(problem, start, tuple(events), None))
    ids = vocabulary.ids(call.words[:-1])  # without the `none` of a search that found nothing
    return Example(tuple(vocabulary.ids(call.prompt)), tuple(ids), (True,) * len(ids))


def parallel_examples(
    tier: Tier, rng: random.Random, conditioned: float, losers: int, rewrite: bool
) -> Iterator[Example]:
    """Parents and children of APR searches without end.

    Args:
        tier: the game.
        rng: draws problems, beams and coins.
        conditioned: share of parents that are told their number of children.
        losers: at most so many children without a solution of each parent (winning ones are all kept).
        rewrite: the paper's join; else the appending one.
    """
    vocabulary = tier.vocabulary()
    while True:
        search = draw_parallel(tier, tier.draw(rng, test=False), rng)
        children = list(search.children)
        budget = parallel_budget(len(children)) if children and rng.random() < conditioned else ()
        calls = compact.parallel_calls(search, budget, rewrite)
        yield from (to_example(vocabulary, call) for call in calls if call.node == ())
        won = [call for call in calls if call.node != () and call.words[-1] != "none"]
        lost = [call for call in calls if call.node != () and call.words[-1] == "none"]
        rng.shuffle(lost)
        yield from (to_example(vocabulary, call) for call in [*won, *lost[:losers]])


def serial_examples(tier: Tier, rng: random.Random, conditioned: float) -> Iterator[Example]:
    """SoS+ threads without end, a share of them told how long they will be."""
    vocabulary = tier.vocabulary()
    while True:
        search = draw_serial(tier, tier.draw(rng, test=False), rng)
        example = to_example(vocabulary, compact.serial_call(search))
        if rng.random() < conditioned:
            budget = vocabulary.ids(serial_budget(example.length + 2))
            example = Example((*budget, *example.prompt_ids), example.token_ids, example.mask)
        yield example


def take(examples: Iterator[Example], tokens: int) -> list[Example]:
    """Examples until they have so many tokens."""
    found, total = [], 0
    while total < tokens:
        example = next(examples)
        found.append(example)
        total += example.length
    return found
