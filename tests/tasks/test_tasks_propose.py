"""The local proposer reads pages and nothing else; what is accepted holds what the rules say."""

from dataclasses import replace
from typing import Any

import pytest
from pages_by_hand import click, look, walk

from turnsmith.errors import UserError
from turnsmith.tasks.propose import Explorer, GrammarProposer, Proposal, accept
from turnsmith.tasks.propose.accept import trouble
from turnsmith.tasks.propose.endpoint import parse_proposals
from turnsmith.tasks.propose.knowledge import kind, knowledge
from turnsmith.tasks.propose.sketch import Sketch
from turnsmith.trace.types import Task

FRAME = (("a", "Crestbay"), ("a", "Kitchen"), {"tag": "input", "type": "search", "aria": "Find"}, ("button", "Go"))
FIELD = {"tag": "input", "type": "text", "aria": "Quantity", "value": "1"}
HOME = look("Home", "/", *FRAME, ("a", "Amber Kettle"), ("a", "Amber Pot"), ("a", "Slate Lamp"))
KETTLE = look(
    "Amber Kettle", "/item/1", *FRAME, ("button", "✓ Small"), ("button", "Large"), FIELD, ("button", "Add to cart"),
    ("td", "Weight"), ("td", "340 g"), ("td", "Model"), ("td", "K7"),
)  # fmt: skip
LARGE = look(
    "Amber Kettle", "/item/1", *FRAME, ("button", "Small"), ("button", "✓ Large"), FIELD, ("button", "Add to cart"),
    ("td", "Weight"), ("td", "340 g"), ("td", "Model"), ("td", "K7"),
)  # fmt: skip
LAMP = look(
    "Slate Lamp", "/item/3", *FRAME, FIELD, ("button", "Add to cart"), ("td", "Weight"), ("td", "90 g"), ("td", "Watt"),
    ("td", "5"),
)  # fmt: skip
LIST = look("Kitchen", "/category/1", *FRAME, ("button", "Sort: Popular"), ("a", "Amber Kettle"), ("a", "Slate Lamp"))
OPEN = look("Kitchen", "/category/1", *FRAME, ("button", "Sort: Popular"), ("a", "Cheapest"), ("a", "Amber Kettle"))
TRACE = walk(
    "w1",
    (HOME, click(HOME, "Amber Kettle")),
    (KETTLE, click(KETTLE, "Large")),
    (LARGE, click(LARGE, "Kitchen")),
    (LIST, click(LIST, "Sort: Popular")),
    (OPEN, click(HOME, "Slate Lamp")),
    (LAMP, None),
)


def test_a_sketch_says_what_stands_on_the_page():
    page = Sketch.of(KETTLE)
    assert (page.head, page.path) == ("Amber Kettle", "/item/1")
    assert page.details == {"Weight": "340 g", "Model": "K7"}
    assert page.fields == {"Quantity": "Add to cart"}
    assert page.numeric == {"Quantity"}
    assert page.chosen == {"Small"}
    assert page.search is not None
    assert page.searches == "Go"


def test_pages_that_differ_in_numbers_are_of_one_kind():
    assert kind("/item/104?x=1") == kind("/item/7") == "/item/N"
    assert kind("/member/7") != kind("/item/7")


def test_knowledge_holds_options_orders_and_what_was_only_linked():
    (known,) = knowledge([TRACE])
    assert known.options == {"/item/N": {"Small", "Large"}}
    assert known.orders == {"Kitchen": {"Sort": {"Cheapest"}}}
    assert {"Kitchen", "Go", "Crestbay"} <= known.chrome
    assert "Amber Pot" in known.names_of("/item/N")  # never opened, but it stands where such links stand


def test_every_kind_of_task_is_written_and_each_says_what_it_means():
    proposals = GrammarProposer("name", seed=1).propose([TRACE], 120)
    kinds = {proposal.kind for proposal in proposals}
    assert {"open", "detail", "more", "press", "twice", "choose", "write", "first"} <= kinds
    for proposal in proposals:
        assert proposal.params == {"site": "shop", "world": 3}
        assert proposal.intent["steps"]
        assert proposal.source["context"] == "name"
    assert len({proposal.instruction.casefold() for proposal in proposals}) == len(proposals)


def test_no_task_thought_or_hidden_part_of_a_trace_changes_a_proposal():
    stripped = replace(
        TRACE,
        task=replace(TRACE.task, instruction="", hidden={}, provenance={}),
        turns=tuple(replace(turn, action=replace(turn.action, text="")) for turn in TRACE.turns),
    )
    seen = GrammarProposer("demonstrations", seed=2).propose([TRACE], 60)
    assert seen == GrammarProposer("demonstrations", seed=2).propose([stripped], 60)
    assert not any("secret" in proposal.instruction for proposal in seen)


def test_users_habits_weigh_in_what_demonstrations_lead_to():
    walks = [walk(f"w{i}", (LAMP, click(LAMP, "Add to cart")), (look("Slate Lamp", "/item/3?added=1"), None))
             for i in range(3)]  # fmt: skip
    pages = [walk("p", (KETTLE, click(KETTLE, "Kitchen")), (LIST, None))]
    by_habit = GrammarProposer("demonstrations", seed=3).propose([*walks, *pages], 80)
    buttons = [step["press"] for p in by_habit for step in p.intent["steps"] if "press" in step]
    assert buttons.count("Add to cart") > len(buttons) / 2


@pytest.mark.parametrize(
    ("instruction", "why"),
    [
        ("What is the Weight of Amber Kettle?", ""),
        ('Write "log in today" into Suggestion.', ""),  # what is to be typed may say anything
        ("  ", "empty"),
        ("Open it.\nThen close it.", "too long"),
        ("x" * 400, "too long"),
        ("Find {product} and open it.", "placeholder"),
        ("Log in and show my orders.", "account"),
        ("What is the latest thread?", "depends on the day"),
    ],
)
def test_what_cannot_be_a_task_is_refused_with_a_reason(instruction, why):
    assert trouble(instruction) == why


def proposal(text: str, entity: str = "Amber Kettle", world: int = 3) -> Proposal:
    return Proposal(text, {"site": "shop", "world": world}, "open", [entity], {"steps": [1]}, {"proposer": "p"})


def test_accepted_tasks_keep_provenance_and_hide_what_is_meant():
    accepted = accept([proposal("Open it."), proposal("open IT"), proposal("Open it.", world=4), proposal("")],
                      avoid=[], prefix="n")  # fmt: skip
    assert [task.id for task in accepted.tasks] == ["n-00000", "n-00001"]  # the same words in another world are another
    assert accepted.rejected == {"duplicate": 1, "empty": 1}
    first = accepted.tasks[0]
    assert first.provenance == {"proposer": "p", "kind": "open", "entities": ["Amber Kettle"]}
    assert first.hidden == {"intent": {"steps": [1]}}


@pytest.mark.parametrize("shared", [{"instruction": "open it!"}, {"provenance": {"entities": ["Amber kettle"]}}])
def test_overlap_with_a_test_task_is_an_error(shared: dict[str, Any]):
    test = replace(Task("t", "Something else.", "browser", split="test"), **shared)
    with pytest.raises(UserError, match="1 test task overlaps with training"):
        accept([proposal("Open it.")], avoid=[test], prefix="n")


async def test_the_explorer_clicks_where_it_has_not_been_and_depends_on_its_seed_only():
    from turnsmith.agents.base import Context

    task = Task("t", "Look around.", "browser", {})
    before = replace(TRACE, turns=TRACE.turns[:1])
    contexts = [Context(task, HOME, before.turns, seed) for seed in range(60)]
    first, again = [await Explorer(search=0, buttons=0).act(contexts) for _ in range(2)]
    assert first == again
    clicked = {action.call.arguments["mark"] for action in first if action.call is not None}
    names = {e["text"] for e in HOME.info["elements"] if e["mark"] in clicked}
    assert "Amber Kettle" not in names  # it was there already
    assert {"Amber Pot", "Slate Lamp"} <= names


def test_replies_of_a_model_are_read_line_by_line_after_output():
    reply = (
        'A {"task": "not this"} site.\nOutput:\n{"task": "Open  A."}\nnonsense\n```\n{"task": 7}\n{"task": "Open B."},'
    )
    assert parse_proposals(reply) == (["Open A.", "Open B."], 2)
    assert parse_proposals('{"task": "Open A."}\nwithout the marker') == (["Open A."], 0)
