"""Countdown's threads in the engine: a model that says what the symbolic solver says makes the solver's own tree."""

import random

import compact_reader
import pytest
import torch
from scripted_lm import ScriptedLM, follow

from turnsmith.engine.threads import Engine
from turnsmith.engine.tree import Cancel, Limits, Request, Status
from turnsmith.recipes.apr.threads import CompactThreads, Place, VerbatimThreads
from turnsmith.worlds.countdown import compact, grammar
from turnsmith.worlds.countdown.problem import Problem, generate
from turnsmith.worlds.countdown.search import solve_parallel
from turnsmith.worlds.countdown.vocabulary import Vocabulary

torch.set_num_threads(1)


class Characters:
    """A tokenizer of characters: 0 pads, 1 ends."""

    eos_token_id = 1

    def __len__(self):
        return 128

    def __call__(self, text, add_special_tokens=False):
        self.input_ids = [ord(character) for character in text]
        return self

    def decode(self, ids):
        return "".join(map(chr, ids))


def trees(count, four, seed=0):
    """Searches whose threads all have prompts of their own, so that a script of contexts can tell them apart."""
    rng = random.Random(seed)
    found = []
    while len(found) < count:
        problem = generate(rng, 4, 99, (10, 100)) if four else generate(rng, 3, 9, (10, 30))
        search = solve_parallel(problem, rng, rng.randint(2, 5), 5)
        starts = {(problem.target, *child.start.numbers) for child in search.children}
        if len(starts) == len(list(search.children)) > 1:
            found.append(search)
    return found


@pytest.mark.parametrize("join", ["append", "rewrite"])
@pytest.mark.parametrize(("four", "rows"), [(True, 64), (False, 2)])
def test_the_engine_makes_the_solvers_tree_in_words(join, four, rows):
    vocabulary = Vocabulary(digits=True, nodes=64)
    protocol = CompactThreads(vocabulary, join)
    for search in trees(4, four):
        calls = compact.parallel_calls(search, rewrite=join == "rewrite")
        written = [[*vocabulary.ids([*call.prompt, *call.words]), 1] for call in calls]
        engine = Engine(ScriptedLM(follow(written), len(vocabulary)), protocol, Limits(4096), temperature=0, rows=rows)  # type: ignore
        root = Place.root(search.problem)
        tree = engine.run([Request(protocol.prompt(search.problem), 0, root)])[0]
        made = [
            compact.WordCall(
                tuple(vocabulary.words(call.prompt_ids)),
                tuple(word for word in vocabulary.words(call.token_ids) if word != "<eos>"),
                tuple(call.sampled),
                thread.state.start.path,
            )
            for thread in tree.threads
            for call in thread.calls
        ]
        assert compact_reader.read_parallel(made) == search
        assert protocol.claims(tree.root) == protocol.verifies(tree.root) == (search.solution is not None)
        for call in made:  # the model chose everything but the joins
            joined = [at for at, word in enumerate(call.words) if word == "join"]
            assert all(call.chosen) == (not joined)
            assert sum(not chosen for chosen in call.chosen) >= 2 * len(joined)


def test_the_engine_makes_the_solvers_tree_in_the_papers_text():
    tokenizer = Characters()
    protocol = VerbatimThreads(tokenizer)  # type: ignore[arg-type]
    for search in trees(2, False, seed=4):
        calls = grammar.parallel_calls(search)
        written = [[1, *tokenizer(call.prompt + call.text).input_ids, 1] for call in calls]
        engine = Engine(ScriptedLM(follow(written), 128, 65536), protocol, Limits(32768), temperature=0)  # type: ignore
        tree = engine.run([Request(protocol.prompt(search.problem), 0, Place.root(search.problem))])[0]
        made = [
            (protocol.text(call.prompt_ids), protocol.text(call.token_ids)) for t in tree.threads for call in t.calls
        ]
        assert sorted(made) == sorted((call.prompt, call.text) for call in calls)
        assert protocol.claims(tree.root) == protocol.verifies(tree.root) == (search.solution is not None)
        assert engine.stats.reused > 0  # the parent's text before the spawn block


def run(texts, cancel: Cancel = "never", target=30, numbers=(3, 8, 1)):
    """One tree of a model that says these texts (words; the prompt's end and the engine's joins included)."""
    vocabulary = Vocabulary(nodes=8)
    problem = Problem(target, numbers)
    protocol = CompactThreads(vocabulary)
    lm = ScriptedLM(follow([vocabulary.ids(text.split()) for text in texts]), len(vocabulary))
    engine = Engine(lm, protocol, Limits(128, cancel=cancel), temperature=0)  # type: ignore
    tree = engine.run([Request(protocol.prompt(problem), 0, Place.root(problem))])[0]
    return protocol, tree, [" ".join(vocabulary.words(thread.ids)) for thread in tree.threads]


PARENT = "goal 30 @ #0 3 8 1 | 8 - 3 = 5 #1 1 5 3 + 8 = 11 #2 1 11 8 - 1 = 7 #3 3 7 spawn #1 #2 #3 run"
FALSE = "goal 30 @ #0 1 11 | 11 * 1 = 30 30 yes <eos>"
LONG = "goal 30 @ #0 3 7 | 3 * 7 = 21 30 no 7 - 3 = 4 30 no 3 + 7 = 10 30 no none <eos>"


def test_a_join_believes_every_claim_and_the_checker_does_not():
    joined = f"{PARENT} join #2 11 * 1 = 30 end won #2 <eos>"
    protocol, tree, texts = run([joined, FALSE, LONG, "goal 30 @ #0 1 5 | none <eos>"])
    assert texts[0] == joined
    assert protocol.claims(tree.root)
    assert not protocol.verifies(tree.root)


def test_only_a_verified_claim_cancels_where_that_is_asked():
    texts = [f"{PARENT} join #2 11 * 1 = 30 end none <eos>", FALSE, LONG, "goal 30 @ #0 1 5 | none <eos>"]
    _, tree, _ = run(texts, cancel="verified")
    assert [thread.status for thread in tree.threads] == [Status.ENDED] * 4
    _, tree, said = run(texts, cancel="claimed")
    assert [thread.status for thread in tree.threads] == [Status.ENDED] * 3 + [Status.CANCELLED]
    assert len(said[3].split()) == len(["goal", "30", "@", "#0", "3", "7", "|"]) + tree.threads[2].own


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PARENT.replace("spawn #1 #2 #3", "spawn #1 #5"), "node #5 was never generated"),
        (PARENT.replace("spawn #1 #2 #3", "spawn"), "names no node"),
        ("goal 30 @ #0 3 8 1 | 8 - 3 = 5 #1 1 5 join", "wrote a join itself"),
    ],
)
def test_what_a_model_gets_wrong_is_a_typed_outcome(text, says):
    _, tree, _ = run([text])
    assert tree.root.status is Status.FAILED
    assert says in tree.root.reason
