"""Both grammars read back to the tree that was written, the compact one in about eight words a node."""

import random

import compact_reader
import pytest
import verbatim_reader
from hypothesis import given, settings
from hypothesis import strategies as st

from turnsmith.errors import ParseError
from turnsmith.worlds.countdown import compact, grammar
from turnsmith.worlds.countdown.problem import Problem, generate
from turnsmith.worlds.countdown.search import Explored, Node, SubSearch, solve_parallel, solve_serial
from turnsmith.worlds.countdown.vocabulary import Vocabulary


def searches(seed, count=3, largest=9, targets=(10, 30)):
    rng = random.Random(seed)
    problem = generate(rng, count, largest, targets)
    serial = solve_serial(problem, rng, rng.randint(1, 5), rng.choice([0.0, 0.5, 1.0]))
    beam = rng.randint(1, 8)
    return serial, solve_parallel(problem, rng, beam, rng.randint(beam, 12), rng.choice([0.4, 0.9]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), four=st.booleans(), rewrite=st.booleans())
def test_both_grammars_read_back_to_the_same_tree(seed, four, rewrite):
    serial, parallel = searches(seed, *((4, 99, (10, 100)) if four else (3, 9, (10, 30))))
    assert compact_reader.read_serial(compact.serial_call(serial)) == serial
    assert verbatim_reader.read_serial(grammar.serial_text(serial)) == serial
    assert compact_reader.read_parallel(compact.parallel_calls(parallel, rewrite=rewrite)) == parallel
    assert verbatim_reader.read_parallel(grammar.parallel_calls(parallel)) == parallel


def test_a_search_in_words():
    root = Node((), (3, 8, 1))
    text = "goal 30 @ #0 3 8 1 | 8 - 3 = 5 #1 1 5 3 + 8 = 11 #2 1 11 enter #2 1 11 | 1 + 11 = 12 30 no exit none"
    words = text.split()
    call = compact.WordCall(tuple(words[:8]), tuple(words[8:]), (True,) * (len(words) - 8))
    search = compact_reader.read_serial(call)
    assert search.start == root
    assert [type(event).__name__ for event in search.events] == ["Moving", "Explored", "Explored", "SubSearch"]
    below = search.events[3]
    assert isinstance(below, SubSearch)
    assert below.node.numbers == (1, 11)
    assert isinstance(below.events[1], Explored)
    assert below.events[1].solved is False
    assert compact.serial_call(search) == call


def test_a_node_takes_about_eight_words_and_a_tenth_of_the_verbatim_text():
    words = nodes = characters = 0
    for seed in range(40):
        serial, _ = searches(seed, 4, 99, (10, 100))
        call = compact.serial_call(serial)
        words += len(call.words)
        nodes += sum(word == "=" for word in call.words)
        characters += len(grammar.serial_text(serial))
    assert 7 <= words / nodes <= 10
    assert words * 12 < characters


TEXT = "goal 30 @ #0 3 8 1 | 8 - 3 = 5 #1 1 5 3 + 8 = 11 #2 1 11"
SPAWNING = TEXT.split()


def test_the_nodes_that_a_spawn_asks_for():
    asked = compact.asked_nodes([*SPAWNING, *["spawn", "#2", "#1", "#2", "run"]], Node((), (3, 8, 1)), 30)
    assert [(name, node.numbers, str(node.operations[0])) for name, node in asked] == [
        (2, (1, 11), "3+8=11"),
        (1, (1, 5), "8-3=5"),
    ]


def test_a_later_spawn_reads_past_an_earlier_join():
    words = [*SPAWNING, *["spawn", "#1", "run", "join", "#1", "5", "*", "6", "=", "30", "end", "spawn", "#2", "run"]]
    assert [name for name, _ in compact.asked_nodes(words, Node((), (3, 8, 1)), 30)] == [2]


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        ("spawn run", "names no node"),
        ("spawn #7 run", "never generated"),
        ("spawn 3 run", "does not name a node"),
        ("spawn #0 run", "its own start"),
        ("spawn #1", "does not end in a spawn"),
        ("run", "does not end in a spawn"),
        ("1 + 8 9 #3 spawn #3 run", "expected ="),
    ],
)
def test_a_malformed_spawn_is_refused(tail, says):
    with pytest.raises(ParseError, match=says):
        compact.asked_nodes([*SPAWNING, *tail.split()], Node((), (3, 8, 1)), 30)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 40), data=st.data())
def test_damaged_words_read_to_another_tree_or_are_refused_never_crash(seed, data):
    serial, _ = searches(seed)
    call = compact.serial_call(serial)
    words = [*call.prompt, *call.words]
    at = data.draw(st.integers(0, len(words) - 1))
    words[at] = data.draw(st.sampled_from(["#1", "7", "won", "spawn", "run", "join", "=", "exit", "²", "", "#"]))
    damaged = compact.WordCall(tuple(words[: len(call.prompt)]), tuple(words[len(call.prompt) :]), call.chosen)
    try:
        again = compact_reader.read_serial(damaged)
    except ParseError:
        return
    assert compact.serial_call(again).words == damaged.words


def test_what_a_thread_claims():
    start = Node((), (3, 8, 1))
    joined = "spawn #1 #2 run join #1 5 * 6 = 30 #2 1 + 11 = 12 end"
    for text, path in (
        ("@ #2 1 11 | 1 + 11 = 12 30 no 1 * 11 = 11 30 yes", ["3+8=11", "1*11=11"]),
        (f"{joined} won #1", ["8-3=5", "5*6=30"]),
        (f"{joined} won #2", ["3+8=11", "1+11=12"]),
    ):
        operations = compact.claimed([*SPAWNING, *text.split()], start)
        assert [str(operation) for operation in operations or []] == path
    for text in (
        "none",
        "won",
        "won #1",
        "yes",
        "@ #2 1 11 | 1 + 11 = 12 yes",
        "@ #7 1 11 | 1 + 11 = 12 30 yes",
        f"{joined} won #7",
        f"{joined} won #1 #1",
        f"{joined} won 5 * 6 = 30",
    ):
        assert compact.claimed([*SPAWNING, *text.split()], start) is None


@pytest.mark.parametrize("digits", [False, True])
def test_words_survive_the_vocabulary(digits):
    vocabulary = Vocabulary(largest=99, nodes=40, digits=digits)
    problem = Problem(24, (3, 8, 1))
    rng = random.Random(5)
    for search in (solve_serial(problem, rng, 5), *solve_parallel(problem, rng, 6, 9).children):
        call = compact.serial_call(search, ("calls", "12"))
        if all(int(word) <= 99 for word in call.words if word.isdigit()):
            assert vocabulary.words(vocabulary.ids([*call.prompt, *call.words])) == [*call.prompt, *call.words]
    assert vocabulary.eos == 1
    assert vocabulary.words([vocabulary.eos, *vocabulary.ids(["12", "yes"])]) == ["<eos>", "12", "yes"]
    assert len(vocabulary.ids(["12"])) == (2 if digits else 1)


def test_a_number_that_no_token_has_is_refused():
    with pytest.raises(ParseError, match="100"):
        Vocabulary(largest=99, nodes=4).ids(["100"])
