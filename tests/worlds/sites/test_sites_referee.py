"""The referee against the templates: what an intent leads to, done over HTTP, is what its template computed."""

import pytest

from turnsmith.trace.types import Task
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.referee import truth, with_truth
from turnsmith.worlds.sites.tasks import make_task


def drawn(site: str, template: str, count: int) -> list[Task]:
    tasks = [make_task(site, template, world, index) for world in range(12) for index in range(2)]
    return [task for task in tasks if task is not None][:count]


def meaning(task: Task, steps: list, ask: str, **more: object) -> Task:
    """The same site and world, as a proposal that means these steps."""
    params = {key: task.params[key] for key in ("site", "world", "setup") if key in task.params}
    return Task("p", "x", "browser", params, hidden={"intent": {"steps": steps, "ask": ask, **more}})


def go(task: Task, name: str) -> dict:
    """Go to a thing by the link that a search for it shows."""
    site = str(task.params["site"])
    version = f"/{SITES[site].world(task.params['world']).versions[0]}" if site == "docs" else ""
    return {"go": name, "from": f"{version}/search?q={name}"}


@pytest.mark.parametrize(
    ("site", "template"),
    [("shop", "item_fact"), ("forum", "thread_fact"), ("docs", "page_fact"), ("recipes", "recipe_fact"),
     ("courses", "course_fact")],
)  # fmt: skip
async def test_details_are_those_of_the_templates(site, template):
    for task in drawn(site, template, 6):
        stage = task.hidden["plan"][0]
        name, label = stage["at"]["name"], stage["label"]
        found = await truth(meaning(task, [go(task, name), {"read": label}], "value"))
        assert found.goal == task.hidden["goal"]


@pytest.mark.parametrize(("site", "template"), [("forum", "upvote"), ("docs", "bookmark"), ("recipes", "save")])
async def test_pressing_a_button_leads_to_the_state_of_the_template(site, template):
    for task in drawn(site, template, 6):
        stage = task.hidden["plan"][0]
        name = stage["at"]["name"]
        found = await truth(meaning(task, [go(task, name), {"press": stage["press"]}], "state"))
        assert found.goal == task.hidden["goal"]


async def test_options_fields_and_two_pages_lead_to_the_state_of_the_template():
    for task in drawn("shop", "add_item", 6):
        stage = task.hidden["plan"][0]
        steps = [go(task, stage["at"]["name"]), {"choose": stage["choose"][0][0]}, {"press": stage["press"]}]
        assert (await truth(meaning(task, steps, "state"))).goal == task.hidden["goal"]
    for task in drawn("forum", "reply", 6):
        stage = task.hidden["plan"][0]
        steps = [go(task, stage["at"]["name"]), {"write": stage["fields"][0]}, {"press": stage["press"]}]
        assert (await truth(meaning(task, steps, "state"))).goal == task.hidden["goal"]
    for task in drawn("docs", "bookmark_two", 6):
        steps = [step for stage in task.hidden["plan"][:2]
                 for step in (go(task, stage["at"]["name"]), {"press": stage["press"]})]  # fmt: skip
        assert (await truth(meaning(task, steps, "state"))).goal == task.hidden["goal"]


async def test_the_first_of_a_sorted_list_and_the_larger_of_two_are_those_of_the_templates():
    for task in drawn("shop", "extreme", 6):
        stage = task.hidden["plan"][0]
        category, (option, menu) = stage["at"]["name"], stage["choose"][0]
        steps = [{"go": category, "path": f"/category/{category}"}, {"sort": [menu, option]}]
        assert (await truth(meaning(task, steps, "first"))).goal == task.hidden["goal"]
    for task in drawn("shop", "compare", 6):
        *reads, answer = task.hidden["plan"]
        steps = [step for one in reads for step in (go(task, one["at"]["name"]), {"read": one["label"]})]
        found = await truth(meaning(task, steps, "higher" if answer["largest"] else "lower"))
        assert found.goal == task.hidden["goal"]


async def test_impossible_trivial_and_ambiguous_proposals_are_told_apart():
    task = drawn("shop", "item_fact", 1)[0]
    world = SITES["shop"].world(task.params["world"])
    shown, other = world.featured[0], world.products[-1]
    wrong = await truth(meaning(task, [go(task, other.name), {"read": "Servings"}], "value"))
    assert (wrong.quality, wrong.goal) == ("impossible", None)
    assert "shows no Servings" in wrong.reason
    easy = await truth(meaning(task, [{"go": shown.name, "from": "/"}], "state"))
    assert (easy.quality, easy.steps) == ("trivial", 2)
    kin = next(p for p in world.products if sum(q.name.split()[1] == p.name.split()[1] for q in world.products) > 1)
    proposed = meaning(task, [go(task, kin.name), {"read": "Weight"}], "value", slip="casual")
    named = Task("p", f"What is the Weight of the {kin.name.split()[1]}?", "browser", proposed.params, "train", {},
                 proposed.hidden)  # fmt: skip
    assert (await truth(named)).quality == "ambiguous"


async def test_an_impossible_task_has_a_goal_that_no_state_meets():
    task = drawn("docs", "page_fact", 1)[0]
    untold = Task("q", "Do something.", "browser", task.params)
    tasks = await with_truth([meaning(task, [{"go": "No Such", "path": "/nowhere"}], "state"), untold])
    assert tasks[0].hidden["quality"] == "impossible"
    assert tasks[1] == untold
    from turnsmith.worlds.sites.goals import judge

    state = SITES["docs"].arrive(SITES["docs"].world(task.params["world"]), {}).snapshot()
    assert judge(tasks[0].hidden["goal"], "done", state, "home")[0] is False
