"""The game at a size: which problems there are, which are held out, and how symbolic searches of them look.

Held out are a quarter of all (target, multiset) pairs, and whole targets. What is trained on is checked against both.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tyro.conf import Suppress

from turnsmith.errors import UserError
from turnsmith.worlds.countdown.problem import Problem, generate
from turnsmith.worlds.countdown.search import Search, Style, solve_parallel, solve_serial


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A size of the game, and how its searches are written. The defaults are the paper's.

    Attributes:
        numbers: how many a problem has.
        largest: the largest of them.
        targets: the smallest and the largest target.
        largest_result: moves beyond it are left out; None: none are.
        parent_beam, child_beam: the widest beams of APR's searches; the parent's is drawn from 1 to the one, its
            children's from there to the other.
        serial_beam: the widest beam of SoS+'s.
        shuffle: print a node's children in random order; False: in a fixed one, so that what is left to learn is
            arithmetic and the protocol and not which of many equally good orders was drawn.
        digits: compact text: spell numbers digit by digit.
        names: compact text: node names that have a token.
        unseen: targets that no training problem has (ours; the paper holds out pairs only).
    """

    numbers: int = 4
    largest: int = 99
    targets: tuple[int, ...] = (10, 100)
    largest_result: int | None = None
    parent_beam: int = 10
    child_beam: int = 15
    serial_beam: int = 5
    shuffle: Suppress[bool] = True
    digits: Suppress[bool] = True
    names: Suppress[int] = 512
    unseen: tuple[int, ...] = (13, 29, 47, 61, 83)

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
        rng, by_key = random.Random("apr test"), {}
        for _ in range(100 * count):
            if len(by_key) == count:
                break
            problem = self.draw(rng, test=True)
            by_key.setdefault(problem.key, problem)
        return list(by_key.values())

    def parallel_search(self, problem: Problem, rng: random.Random) -> Search:
        """APR's training search: parent beam uniform, child beam from there to the widest."""
        beam = rng.randint(1, self.parent_beam)
        return solve_parallel(problem, rng, beam, rng.randint(beam, self.child_beam), style=self.style)

    def serial_search(self, problem: Problem, rng: random.Random) -> Search:
        """SoS+'s training search."""
        return solve_serial(problem, rng, rng.randint(1, self.serial_beam), style=self.style)


def check_overlap(train: Sequence[Problem], test: Sequence[Problem]) -> None:
    """Fail where a training problem is a test problem, with its numbers in any order.

    Raises:
        UserError: naming one.
    """
    held = {problem.key for problem in test}
    for problem in train:
        if problem.key in held:
            raise UserError(f"problem {problem.target} from {problem.numbers} is in training and test.")
