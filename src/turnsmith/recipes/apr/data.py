"""What APR's models learn from: arithmetic drills, and searches of symbolic solvers, as examples without end.

Everything is drawn from the training side of a `Tier`. A wording (`recipes.apr.threads`) says it in tokens.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from turnsmith.agents.load import load_tokenizer
from turnsmith.learn.examples import Example
from turnsmith.recipes.apr.config import Budget, Config
from turnsmith.recipes.apr.threads import CompactThreads, Said, VerbatimThreads, Wording
from turnsmith.recipes.apr.tier import Tier
from turnsmith.worlds.countdown.problem import Problem, successors
from turnsmith.worlds.countdown.search import (
    Event,
    Explored,
    Moving,
    Node,
    Search,
    expand,
    is_leaf,
    solve_thread,
)
from turnsmith.worlds.countdown.tokenizer import grammar_tokenizer
from turnsmith.worlds.countdown.vocabulary import Vocabulary

Source = Callable[[random.Random], Iterator[Example]]
"""Examples without end, drawn with a generator."""


def new_wording(config: Config) -> Wording:
    """The wording that the settings name.

    Raises:
        UserError: if the folder of the tokenizer holds none.
    """
    if config.text == "compact":
        return CompactThreads(vocabulary_of(config.tier), config.join)
    if config.tokenizer:
        return VerbatimThreads(load_tokenizer(Path(config.tokenizer))[0])
    return VerbatimThreads(grammar_tokenizer())


def vocabulary_of(tier: Tier) -> Vocabulary:
    """Words of the compact text at this size of the game."""
    return Vocabulary(tier.largest_result or 0, tier.names, tier.digits or tier.largest_result is None)


def sources(config: Config, wording: Wording) -> dict[str, Source]:
    """What each supervised stage draws from, by its name: "warmup" (drills), "sos", "apr"."""
    return {
        "warmup": lambda rng: drills(config, wording, rng),
        "sos": lambda rng: serial_examples(config, wording, rng),
        "apr": lambda rng: parallel_examples(config, wording, rng),
    }


def to_example(config: Config, said: Said) -> Example:
    """A call as an example, cut to the context.

    As in the paper every token is learned, prompts and joined results too, unless `learn_given` is off.
    """
    if config.learn_given:
        ids = (*said.prompt_ids, *said.token_ids)[: config.size.context]
        return Example(ids[:1], ids[1:], (True,) * (len(ids) - 1))
    room = config.size.context - len(said.prompt_ids)
    return Example(said.prompt_ids, said.token_ids[:room], said.chosen[:room])


def drills(config: Config, wording: Wording, rng: random.Random) -> Iterator[Example]:
    """Warm-up without end: half child threads (arithmetic), half `expansion`s (listing moves, looking up a node).

    Targets are drawn from all numbers that have a token, half of them in reach, so that repeating the target is learned
    as repeating and not as a choice among a few. Held-out problems and unseen targets are left out.
    """
    tier = config.tier
    targets = [target for target in range(1, tier.largest_result or tier.targets[1]) if target not in tier.unseen]
    while True:
        numbers = tuple(rng.randint(1, tier.largest) for _ in range(tier.numbers))
        whole = rng.random() < 0.5
        start = numbers if whole else rng.choice(list(successors(numbers)))[1]
        reach = [result for result in _reached(start, rng) if result in targets]
        target = rng.choice(reach) if reach and rng.random() < 0.5 else rng.choice(targets)
        problem = Problem(target, start)
        if not whole:
            search = solve_thread(problem, Node((), start), rng, tier.child_beam, tier.style)
            yield to_example(config, wording.serial(search))
        elif not tier.held_out(problem):
            yield expansion(config, wording, problem, rng)


def _reached(numbers: tuple[int, ...], rng: random.Random) -> list[int]:
    """What the last move may come to, after random ones."""
    while len(numbers) > 2:
        numbers = rng.choice(list(successors(numbers)))[1]
    return [move.result for move, _ in successors(numbers)]


def expansion(config: Config, wording: Wording, problem: Problem, rng: random.Random) -> Example:
    """The widest listing of moves from the start, and of those from one of its nodes, drawn evenly, up to the target.

    What a search does next is its method's choice, so these examples have no end.
    """
    node = start = Node((), problem.numbers)
    events: list[Event] = []
    for _ in range(2):
        children = expand(problem, node, config.tier.child_beam, rng, config.tier.style)
        listed = [Explored(child, is_leaf(problem, child)) for child in children]
        stop = next((at for at, event in enumerate(listed, start=1) if event.solved), len(listed))
        events += [Moving(node), *listed[:stop]]
        node = rng.choice(children)
    return to_example(config, wording.listing(Search(problem, start, tuple(events), None)))


def parallel_examples(config: Config, wording: Wording, rng: random.Random) -> Iterator[Example]:
    """Parents and children of APR searches without end: a share of the parents told their number of children, and, of
    each search, all children with a solution and at most `losers` without one."""
    tier = config.tier
    while True:
        search = tier.parallel_search(tier.draw(rng, test=False), rng)
        children = len(list(search.children))
        told = children and rng.random() < config.conditioned
        calls = wording.parallel(search, Budget("calls", children) if told else None)
        yield from (to_example(config, call) for call in calls if call.parent)
        won = [call for call in calls if not call.parent and call.solved]
        lost = [call for call in calls if not call.parent and not call.solved]
        rng.shuffle(lost)
        yield from (to_example(config, call) for call in [*won, *lost[: config.losers]])


def serial_examples(config: Config, wording: Wording, rng: random.Random) -> Iterator[Example]:
    """SoS+ threads without end, a share of them told how long they will be."""
    tier = config.tier
    while True:
        said = wording.serial(tier.serial_search(tier.draw(rng, test=False), rng))
        yield to_example(config, wording.told(said) if rng.random() < config.conditioned else said)


def take(examples: Iterator[Example], tokens: int) -> list[Example]:
    """Examples until they have so many tokens."""
    taken: list[Example] = []
    total = 0
    while total < tokens:
        example = next(examples)
        taken.append(example)
        total += example.length
    return taken
