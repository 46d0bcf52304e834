"""Worlds and tasks: the same seed makes the same, splits share no word, every task hangs together."""

import random
from collections import Counter
from itertools import combinations

import pytest

from turnsmith.errors import UserError
from turnsmith.tasks.splits import check_overlap
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.tasks import generate, make_task, template_names
from turnsmith.worlds.sites.verify import verify_row
from turnsmith.worlds.sites.words import WORLDS, composed, only, split_of_world

THINGS = {"shop": "products", "forum": "threads", "docs": "articles", "recipes": "recipes", "courses": "courses"}


def names(site: str, world: int) -> list[str]:
    return [thing.name for thing in getattr(SITES[site].world(world), THINGS[site])]


def nouns(site: str) -> dict[str, str]:
    module = __import__(f"turnsmith.worlds.sites.{site}.world", fromlist=["NOUNS"])
    return module.NOUNS


def test_the_word_pools_of_the_splits_are_disjoint_and_large():
    pools = {split: set(composed(split)) for split in ("train", "validation", "test")}
    for one, other in combinations(pools.values(), 2):
        assert not one & other
    assert min(map(len, pools.values())) > 500
    for site in SITES:
        for text in nouns(site).values():
            parts = [set(only(text, split)) for split in ("train", "validation", "test")]
            assert all(parts)
            assert sum(map(len, parts)) == len(set().union(*parts)) == len(text.split())


def test_no_noun_belongs_to_two_sites_or_two_sections():
    words = Counter(word for site in SITES for text in nouns(site).values() for word in text.split())
    assert [word for word, count in words.items() if count > 1] == []


@pytest.mark.parametrize("site", SITES)
def test_no_word_of_a_name_in_a_held_out_world_is_ever_seen_in_training(site):
    seen = {word for seed in range(0, 1000, 15) for name in names(site, seed) for word in name.split()}
    for split in ("validation", "test", "test_templates"):
        held_out = {word for seed in list(WORLDS[split])[::12] for name in names(site, seed) for word in name.split()}
        assert not held_out & seen


@pytest.mark.parametrize("site", SITES)
def test_names_are_unique_in_a_world_and_many_share_their_first_word(site):
    for seed in (3, 1003, 1203):
        every = names(site, seed)
        assert len(set(every)) == len(every) >= 40
        first = Counter(name.split()[0] for name in every)
        assert sum(count for count in first.values() if count > 1) >= len(every) / 2


@pytest.mark.parametrize("site", SITES)
def test_a_world_follows_from_its_seed_and_two_seeds_differ_in_names_order_and_look(site):
    build = SITES[site].build
    assert build(5) == build(5)
    worlds = [build(seed) for seed in range(12)]
    assert len({world.brand for world in worlds}) == 12
    assert len({world.theme.style["accent"] for world in worlds}) > 3
    for aspect in ("nav", "layout", "folded", "search_first", "cookie"):
        assert len({getattr(world.theme, aspect) for world in worlds}) == 2
    assert len({tuple(sorted(world.theme.words.items())) for world in worlds}) == 12


@pytest.mark.parametrize("site", SITES)
def test_every_template_has_more_than_a_hundred_different_instances(site):
    for split, expected in (("train", 8), ("test_templates", 2)):
        templates = template_names(site, split)
        assert len(templates) >= expected
        for template in templates:
            tasks = generate([site], split, 101, 1, [template])
            assert len({task.instruction for task in tasks}) == 101


def test_tasks_are_the_same_for_the_same_seed_and_spread_evenly():
    tasks = generate(list(SITES), "train", 116, 7)
    assert tasks == generate(list(SITES), "train", 116, 7)
    assert tasks != generate(list(SITES), "train", 116, 8)
    kinds = Counter((task.params["site"], task.params["template"]) for task in tasks)
    assert set(kinds.values()) == {116 // len(kinds)} or max(kinds.values()) - min(kinds.values()) == 1
    for task in tasks[:20]:
        world, index = (int(part) for part in task.id.rsplit("-", 2)[1:])
        assert make_task(task.params["site"], task.params["template"], world, index) == task


def test_splits_of_tasks_do_not_overlap_and_needed_steps_range_from_2_to_20():
    train = generate(list(SITES), "train", 500, 0)
    for split in ("validation", "test", "test_templates"):
        check_overlap(train, generate(list(SITES), split, 200, 0))
    steps = {task.params["needed_steps"] for task in train}
    assert min(steps) == 2
    assert max(steps) >= 18
    assert max(steps) <= 20
    assert sum(task.params["needed_steps"] >= 8 for task in train) > len(train) / 6


def test_a_goal_is_met_by_itself_and_not_by_the_start():
    for task in generate(list(SITES), "test", 150, 3):
        goal = task.hidden["goal"]
        row = {"task": _json(task), "answer": (goal.get("answer") or ["done"])[0], "state": goal["state"]}
        row |= {"page": goal["page"]} if "page" in goal else {}
        assert verify_row(row)[0]
        site = SITES[task.params["site"]]
        start = site.arrive(site.world(task.params["world"]), task.params.get("setup", {})).snapshot()
        unmoved = {**row, "state": start, "answer": "done"} | ({"page": "home"} if "page" in goal else {})
        assert not verify_row(unmoved)[0], task.instruction


def _json(task):
    from turnsmith.trace.codec import task_to_json

    return task_to_json(task)


def test_a_task_can_be_told_from_its_instruction_alone():
    """Names that decide the outcome stand in the instruction, or the site's name does."""
    for task in generate(list(SITES), "train", 100, 5):
        text = task.instruction
        assert any(str(name) in text for name in task.provenance["entities"]), text


@pytest.mark.parametrize("world", [0, 999, 1000, 1199, 1200, 1399, 1400, 1599])
def test_a_world_seed_names_its_split(world):
    assert world in WORLDS[split_of_world(world)]
    assert SITES["shop"].world(world).split == split_of_world(world)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_task("mall", "x", 0, 0), "there is no site 'mall'"),
        (lambda: make_task("shop", "x", 0, 0), "has no template 'x'"),
        (lambda: make_task("shop", "compare", 9999, 0), "world seed 9999 is outside"),
        (lambda: generate(["shop"], "trian", 1, 0), "there is no split 'trian'"),
        (lambda: generate(["mall"], "train", 1, 0), "there is no site 'mall'"),
        (lambda: generate(["shop"], "train", 1, 0, ["reply"]), "no template reply"),
        (lambda: generate(["shop"], "train", 1, 0, ["add_many"]), "no template add_many in the split 'train'"),
        (lambda: generate([], "train", 1, 0), "no site, or no template"),
    ],
)
def test_what_does_not_exist_is_said_in_one_line(call, message):
    with pytest.raises(UserError) as raised:
        call()
    assert message in str(raised.value)


def test_worlds_survive_any_seed_of_their_range():
    seeds = random.Random(0).sample(range(1600), 25)
    for site in SITES.values():
        for seed in seeds:
            world = site.build(seed)
            assert site.arrive(world, {}).snapshot()
