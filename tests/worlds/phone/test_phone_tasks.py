"""Layout versions and tasks: what is held out is held out, and a day has one look."""

from itertools import pairwise

import pytest

from turnsmith.data import data_file
from turnsmith.envs.device.lists import audit, authors_list, load_list
from turnsmith.errors import UserError
from turnsmith.tasks.splits import check_overlap, overlaps
from turnsmith.worlds.phone.goals import judge
from turnsmith.worlds.phone.handset import Handset, View
from turnsmith.worlds.phone.layout import LAST, TRAITS, layout, version
from turnsmith.worlds.phone.tasks import (
    DEMONSTRATION_DAYS,
    DRIFT_DAYS,
    GENERAL,
    STALE_DAYS,
    TRAIN_DAYS,
    generate,
    webshop_draft,
)
from turnsmith.worlds.phone.words import HELD_OUT_SITE, SITES


def test_the_last_day_has_a_look_without_the_days_before_it():
    known = layout("shoply.com", 300)
    layout.cache_clear()  # in one go, whatever Python's limit on calls within calls
    assert layout("shoply.com", LAST).keys() == TRAITS["shop"].keys()
    layout.cache_clear()
    assert layout("shoply.com", 300) == known


def test_the_days_change_one_trait_at_a_time_and_the_first_are_alike():
    assert len({version(day) for day in STALE_DAYS}) == 1
    assert all(layout("shoply.com", 0)[name] == values[0] for name, values in TRAITS["shop"].items())
    versions = [layout("bigbox.com", day) for day in range(140)]
    changes = [sum(a[name] != b[name] for name in a) for a, b in pairwise(versions)]
    assert 0 < sum(changes) < 0.1 * len(changes) * len(TRAITS["shop"])
    assert versions[80] != versions[0]
    layout.cache_clear()
    assert layout("bigbox.com", 77) == versions[77]
    assert len({version(day) for day in DRIFT_DAYS}) > 30


@pytest.mark.parametrize("kind", ["general", "webshop"])
def test_the_disjoint_split_shares_nothing(kind):
    train, test = generate(kind, "train", 300), generate(kind, "test", 150)
    assert len({task.id for task in (*train, *test)}) == 450
    check_overlap(train, test)
    assert generate(kind, "test", 150) == test
    shared = overlaps(generate(kind, "train", 300, overlapping=True), generate(kind, "test", 150, overlapping=True))
    assert len(shared) > 50


def test_a_tested_shop_looks_as_in_no_training_day():
    train, test = generate("webshop", "train", 200), generate("webshop", "test", 200)
    assert HELD_OUT_SITE not in {task.provenance["site"] for task in train}
    assert 20 < sum(task.provenance["held_out_site"] for task in test) < 90
    for site in SITES:
        seen = [layout(site, day) for day in (*STALE_DAYS, *TRAIN_DAYS, *DEMONSTRATION_DAYS)]
        days = {task.params["day"] for task in test if task.provenance["site"] == site}
        assert days
        assert all(layout(site, day) not in seen for day in days)


def test_general_tasks_come_evenly_and_nothing_is_done_at_the_start():
    tasks = generate("general", "train", 5 * len(GENERAL), seed=1)
    counts = [sum(task.params["template"] == name for task in tasks) for name in GENERAL]
    assert min(counts) >= 3
    for task in tasks:
        phone = Handset.start(0, task.params["day"], task.params["world"])
        assert not judge(task.hidden["goal"], phone.view, phone.facts())[0], task.instruction


def test_too_many_tasks_are_refused():
    with pytest.raises(UserError, match=r"only \d+ different webshop tasks"):
        generate("webshop", "test", 1000, days=[0], sites=["nestor.com"])
    with pytest.raises(UserError, match="there are no"):
        generate("nothing", "test", 1)  # type: ignore[arg-type]


def test_the_goal_of_a_triple():
    site, query = "nestor.com", "voltro lamp"
    goals = [webshop_draft(site, query, level).goal for level in range(3)]
    views = [View(f"{site}/home"), View(f"{site}/results", "Lamp  VOLTRO"), View(f"{site}/item", "voltro lamp", 0)]
    assert [[judge(goal, view, {})[0] for view in views] for goal in goals] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
    assert not judge(goals[2], View(f"{site}/item", query, 1), {})[0]
    assert not judge(goals[1], View(f"{site}/results", "voltro lamps"), {})[0]
    assert not judge(goals[0], View(f"blank/{site}/home"), {})[0]


def test_a_search_may_say_a_little_more():
    goal = {"page": "seek/results", "words": ["weather", "oslo"]}
    assert judge(goal, View("seek/results", "What's the weather in Oslo?"), {})[0]
    assert not judge(goal, View("seek/results", "weather"), {})[0]
    assert not judge(goal, View("seek/results", "oslo weather " + "and more words than needed"), {})[0]


def test_lists_of_instructions(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text('Go to ebay.com\n\nGo to ebay.com, search for "a"\n', encoding="utf-8")
    tasks = load_list(file)
    assert [(task.id, task.instruction) for task in tasks] == [
        ("list-1", "Go to ebay.com"),
        ("list-3", 'Go to ebay.com, search for "a"'),
    ]
    other = tmp_path / "other.txt"
    other.write_text("go to eBay.com, search for 'a'\nOpen the clock\n", encoding="utf-8")
    found = audit(tasks, load_list(other))
    assert (found.shared, found.test, found.first_unique, found.first_bare) == (1, 2, 2, 0)
    (tmp_path / "empty.txt").write_text("\n")
    for name in ("empty.txt", "absent.txt"):
        with pytest.raises(UserError, match=name):
            load_list(tmp_path / name)


@pytest.mark.skipif(data_file("device/general_test.txt") is None, reason="the authors' lists are not here")
def test_what_the_authors_lists_share():
    general = audit(authors_list("general", "train"), authors_list("general", "test"))
    assert (general.shared, general.test, general.train) == (432, 432, 545)
    webshop = audit(authors_list("webshop", "train"), authors_list("webshop", "test"))
    assert (webshop.first_shared, webshop.first_unique, webshop.first_bare) == (56, 67, 32)
