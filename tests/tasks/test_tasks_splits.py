"""The overlap check: nothing shared between training and test goes unnoticed."""

import pytest

from turnsmith.errors import UserError
from turnsmith.tasks.splits import check_overlap, overlaps
from turnsmith.trace.types import Task


def task(id: str, instruction: str, *entities: str) -> Task:
    return Task(id, instruction, "browser", provenance={"entities": list(entities)} if entities else {})


TRAIN = [task("t1", "Open Amber Kettle.", "Amber Kettle"), task("t2", "Who wrote it?")]


@pytest.mark.parametrize(
    ("test", "shared"),
    [
        (task("t2", "Something else"), "the id 't2'"),
        (task("x", "  who WROTE\nit ?!"), "the instruction 'who wrote it'"),
        (task("x", "Buy it.", "Cedar Lamp", "amber kettle"), "the entity 'amber kettle'"),
    ],
)
def test_each_kind_of_overlap_stops_the_run_and_is_named(test, shared):
    with pytest.raises(UserError, match="1 test task overlaps") as raised:
        check_overlap(TRAIN, [task("y", "New.", "Amber Lantern"), test])
    assert shared in str(raised.value)


def test_disjoint_splits_pass():
    assert check_overlap(TRAIN, [task("y", "Open Amber Lantern.", "Amber Lantern")]) is None
    assert check_overlap([], TRAIN) is None


def test_every_overlapping_task_is_listed_once_but_the_message_stays_short():
    assert [one.id for one, _, _ in overlaps(TRAIN, TRAIN)] == ["t1", "t2"]
    many = [task(f"t{n}", "x") for n in range(50)]
    with pytest.raises(UserError, match=r"50 test tasks overlap.*; and 45 more") as raised:
        check_overlap(many, many)
    assert len(str(raised.value)) < 500
