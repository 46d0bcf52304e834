"""APR's text: printed, spawned, joined and read back without loss, and refused where it is malformed."""

import itertools
import random

import pytest

from turnsmith.errors import ParseError
from turnsmith.worlds.countdown import grammar
from turnsmith.worlds.countdown.problem import Operation, Problem, check, generate
from turnsmith.worlds.countdown.search import Node, Spawn, solve_parallel, solve_serial


@pytest.fixture(scope="module")
def problems():
    rng = random.Random(31)
    return [generate(rng) for _ in range(60)]


def test_lines_are_the_papers():
    operation = Operation(53, "-", 22, 31)
    problem, root = Problem(27, (22, 26, 31, 53)), Node((), (22, 26, 31, 53))
    child = root.child(0, operation, (26, 31, 31))
    assert grammar.state_line(problem, root) == "Current State: 27:[22, 26, 31, 53], Operations: []\n"
    assert grammar.child_prompt(problem, child) == (
        "Moving to Node #0,0\nCurrent State: 27:[26, 31, 31], Operations: ['53-22=31']"
    )
    assert grammar.spawn_block([child]) == (
        "<Calling Sub Searches>\n<Start Sub Search 0 at level 1> Moving to Node #0,0\n<End Calling Sub Searches>\n"
    )


def test_a_serial_trace_claims_exactly_the_solvers_solution(problems):
    rng = random.Random(32)
    for problem in problems:
        search = solve_serial(problem, rng, 4)
        operations = grammar.claimed_operations(grammar.serial_text(search))
        if search.solution is None:
            assert operations is None
        else:
            assert operations is not None
            assert operations == [str(operation) for operation in search.solution.operations]
            assert check(problem.target, problem.numbers, operations)[0]


def test_a_parents_calls_can_be_replayed_from_its_text_alone(problems):
    """The engine's view: read the spawn, build the prompts, join the texts; the next parent prompt must be the same."""
    rng = random.Random(33)
    for problem in problems:
        search = solve_parallel(problem, rng, 4, 6)
        calls = grammar.parallel_calls(search)
        parents = [index for index, call in enumerate(calls) if call.node == ()]
        for here, following in itertools.pairwise(parents):
            spawn = grammar.parse_spawn(calls[here].prompt + calls[here].text)
            assert spawn is not None
            body, nodes, target = spawn
            children = calls[here + 1 : following]
            replayed = Problem(target, problem.numbers)
            assert [grammar.child_prompt(replayed, node) for node in nodes] == [child.prompt for child in children]
            joined = grammar.join_block(nodes, [child.text for child in children])
            assert calls[following].prompt == body + joined
        assert grammar.parse_spawn(calls[-1].prompt + calls[-1].text) is None
        operations = grammar.claimed_operations(calls[-1].prompt + calls[-1].text)
        assert (operations is None) == (search.solution is None)
        if operations is not None:
            assert check(problem.target, problem.numbers, operations)[0]
        assert len(calls) == 1 + sum(1 + len(e.children) for e in search.events if isinstance(e, Spawn))


def test_a_child_with_one_goal_line_joins_as_no_solution():
    node = Node((1,), (3, 4), ())
    text = grammar.join_block([node], ["\n24,24 equal: Goal Reached\n"])
    assert text == "<Sub Searches>\n<No Solution in Sub Search 0 at level 1 at Node #0,1>\n<End Sub Searches>\n"


STATE = "Moving to Node #0\nCurrent State: 27:[22, 26, 31, 53], Operations: []\n"
GENERATED = "Generated Node #0,0: 27:[26, 31, 31] Operation: 53-22=31\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (STATE + GENERATED + "<Calling Sub Searches>\n<Start Sub Search 0 at level 1> Moving to Node #0,0\n", "no end"),
        (STATE + "<Calling Sub Searches>\n<End Calling Sub Searches>\n", "names no node"),
        (
            STATE + "<Calling Sub Searches>\n<Start Sub Search 0 at level 1> Moving to Node #0,7\n"
            "<End Calling Sub Searches>\n",
            "never generated",
        ),
        (STATE + GENERATED + "<Calling Sub Searches>\nSpawn all!\n<End Calling Sub Searches>\n", "malformed line"),
        (GENERATED + "<Calling Sub Searches>\n<End Calling Sub Searches>\n", "no state"),
    ],
)
def test_a_malformed_spawn_is_refused_by_name(text, says):
    with pytest.raises(ParseError, match=says):
        grammar.parse_spawn(text)


def test_text_is_never_evaluated():
    evil = (
        STATE + "Exploring Operation: __import__('os').abort(), Resulting Numbers: [1]\n1,27 equal: Goal Reached\n" * 2
    )
    operations = grammar.claimed_operations(evil)
    assert operations is None or not check(27, [22, 26, 31, 53], operations)[0]
