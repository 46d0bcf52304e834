"""The oracle is strict: exactly what was asked, said to be done, and nothing else."""

import pytest

from turnsmith.worlds.sites.goals import judge
from turnsmith.worlds.sites.verify import verify_row

CART = {"state": {"cart": ["1 x Amber Kettle (Large)"], "orders": []}}
LOOK = {"state": {"cart": []}, "answer": ["340 g"]}
OPEN = {"state": {"cart": []}, "page": "item:Amber Kettle"}


@pytest.mark.parametrize(
    ("goal", "answer", "state", "viewing", "success", "reason"),
    [
        (CART, "done", {"cart": ["1 x Amber Kettle (Large)"], "orders": []}, "cart", True, "Everything is as it was"),
        (CART, "done", {"cart": [], "orders": []}, "cart", False, "Cart lack '1 x Amber Kettle (Large)'"),
        (
            CART,
            "done",
            {"cart": ["1 x Amber Kettle (Small)"], "orders": []},
            "",
            False,
            "hold '1 x Amber Kettle (Small)'",
        ),
        (CART, "done", {"cart": ["1 x Amber Kettle (Large)", "1 x B (Red)"], "orders": []}, "", False, "not asked for"),
        (CART, "done", {"cart": ["1 x Amber Kettle (Large)"] * 2, "orders": []}, "", False, "not asked for"),
        (CART, "done", {"cart": ["1 x Amber Kettle (Large)"], "orders": ["x"]}, "", False, "Orders hold 'x'"),
        (CART, None, {"cart": ["1 x Amber Kettle (Large)"], "orders": []}, "", False, "never said"),
        (LOOK, "340 g", {"cart": []}, "", True, "The answer '340 g' is right."),
        (LOOK, ' "340  G". ', {"cart": []}, "", True, "right"),
        (LOOK, "340", {"cart": []}, "", False, "The answer is '340', not '340 g'."),
        (LOOK, "It is 340 g", {"cart": []}, "", False, "not '340 g'"),
        (LOOK, "", {"cart": []}, "", False, "not '340 g'"),
        (LOOK, "340 g", {"cart": ["1 x B (Red)"]}, "", False, "Cart hold"),
        (OPEN, "done", {"cart": []}, "item:Amber Kettle", True, "Everything"),
        (OPEN, "done", {"cart": []}, "item:Amber Lantern", False, "The last page is 'item:Amber Lantern'"),
    ],
)
def test_judging(goal, answer, state, viewing, success, reason):
    verdict, why = judge(goal, answer, state, viewing)
    assert verdict is success
    assert reason in why


def task(goal):
    return {"id": "t", "instruction": "x", "environment": "browser", "hidden": {"goal": goal}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, 'either "task", or "site"'),
        ({"site": "shop", "template": "compare", "world": "1", "index": 0}, "must be whole numbers"),
        ({"site": "shop", "template": "compare", "world": True, "index": 0}, "must be whole numbers"),
        ({"site": "mall", "template": "compare", "world": 1, "index": 0}, "no site 'mall'"),
        ({"task": []}, '"task" must be a task'),
        ({"task": task({}) | {"hidden": {}}, "answer": "x"}, 'has no "goal"'),
        ({"task": task(LOOK)}, 'one of "answer", "state" and "page"'),
        ({"task": task(LOOK), "state": {"cart": []}}, '"answer" is missing'),
        ({"task": task(LOOK), "answer": 340}, '"answer" must be a text'),
        ({"task": task(CART), "answer": "done"}, '"state" is missing'),
        ({"task": task(CART), "state": {"cart": "none"}}, '"state" must be an object of lists'),
        ({"task": task(OPEN), "answer": "done"}, '"page" is missing'),
    ],
)
def test_a_row_that_cannot_be_graded_says_why(row, message):
    with pytest.raises(ValueError, match=r".") as raised:
        verify_row(row)
    assert message in str(raised.value)


def test_a_null_answer_fails_and_a_missing_one_counts_as_done_where_only_the_state_matters():
    assert verify_row({"task": task(CART), "state": CART["state"]})[0]
    assert not verify_row({"task": task(CART), "state": CART["state"], "answer": None})[0]


def test_a_task_made_again_from_its_four_coordinates_is_graded():
    row = {"site": "shop", "template": "item_fact", "world": 1201, "index": 4}
    from turnsmith.worlds.sites.tasks import make_task

    made = make_task(*row.values())
    assert made is not None
    answer = made.hidden["goal"]["answer"][0]
    assert verify_row({**row, "answer": answer})[0]
    assert not verify_row({**row, "answer": answer + "0"})[0]
