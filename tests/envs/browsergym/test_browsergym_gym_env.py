"""Our tasks through gymnasium's interface, in real Chromium, with BrowserGym's observations and actions."""

import re

import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'turnsmith[gym]'")

from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig
from turnsmith.envs.browsergym.gym_env import GymEnvironment
from turnsmith.errors import UserError
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate

KEYS = {
    "chat_messages", "goal", "goal_object", "open_pages_urls", "open_pages_titles", "active_page_index", "url",
    "screenshot", "dom_object", "axtree_object", "extra_element_properties", "focused_element_bid", "last_action",
    "last_action_error", "elapsed_time",
}  # fmt: skip


@pytest.fixture(scope="module")
def env():
    tasks = [*generate(["shop"], "test", 1, 0, ["open_item"]), *generate(["shop"], "test", 1, 0, ["item_fact"])]
    seen = ObservationConfig(screenshot="plain")
    env = GymEnvironment(BrowserEnvironment(LocalSites(), 1, seen), tasks)
    yield env
    env.close()
    env.close()


def bid_of(seen, role, name):
    """The bid of the first node of this role whose name matches, found as BrowserGym's agents do."""
    for node in seen["axtree_object"]["nodes"]:
        if "browsergym_id" in node and node["role"]["value"] == role and re.search(name, node["name"]["value"]):
            return node["browsergym_id"]
    raise AssertionError(f"no {role} {name!r}")


def close_popups(env, seen):
    for node in seen["axtree_object"]["nodes"]:
        if node.get("browsergym_id") and node["name"]["value"] in ("Accept", "Accept all", "OK", "No thanks", "Close"):
            return close_popups(env, env.step(f"click({node['browsergym_id']!r})")[0])
    return seen


def test_an_episode_is_played_to_its_reward_by_bids(env):
    seen, info = env.reset(seed=3, options={"task": 0})
    assert set(seen) == KEYS
    assert info == {"task_id": env.tasks[0].id}
    assert seen["goal_object"] == ({"type": "text", "text": env.task.instruction},)
    assert seen["chat_messages"][-1]["message"] == env.task.instruction
    assert seen["screenshot"].shape == (768, 1024, 3)
    assert env.render() is seen["screenshot"]
    assert seen["dom_object"]["documents"]
    name = env.task.hidden["plan"][0]["at"]["name"]
    seen = close_popups(env, seen)
    box = bid_of(seen, "searchbox", "")
    assert seen["extra_element_properties"][box]["bbox"][2] > 20
    seen, reward, terminated, truncated, _ = env.step(f"fill({box!r}, {name!r})")
    assert (reward, terminated, truncated, seen["last_action_error"]) == (0.0, False, False, "")
    assert seen["focused_element_bid"] == box
    assert "/search" not in seen["url"]  # fill does not press Enter
    seen, *_ = env.step(f"press({box!r}, 'Enter')")
    assert "/search" in seen["url"]
    seen = close_popups(env, seen)
    seen, *_ = env.step(f"click({bid_of(seen, 'link', f'^{name}$')!r})")
    assert seen["open_pages_titles"][0].startswith(name)
    seen = close_popups(env, seen)
    seen, reward, terminated, truncated, info = env.step("send_msg_to_user('done')")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert (info["judge"], seen["chat_messages"][-1]["message"]) == ("oracle", "done")
    with pytest.raises(RuntimeError, match="reset"):
        env.step("noop()")


def test_errors_are_told_and_cost_a_step(env):
    seen, _ = env.reset(seed=1, options={"task": 1})
    for action, message in (
        ("click('9999')", "9999"),
        ("dance()", "Unknown action"),
        ("goto('http://example.org/')", "not among the addresses"),
        ("go_back()", "no earlier page"),
        (f"press({bid_of(seen, 'searchbox', '')!r}, 'Hyper')", "no key"),
    ):
        seen, reward, terminated, truncated, _ = env.step(action)
        assert message in seen["last_action_error"]
        assert (reward, terminated, truncated, seen["last_action"]) == (0.0, False, False, action)
    start = seen["url"]
    seen, *_ = env.step(f"goto({start + 'cart'!r})\ngo_back()")
    assert (seen["url"], seen["last_action_error"]) == (start, "")
    seen, reward, terminated, _, _ = env.step("report_infeasible('I cannot find it')")
    assert (reward, terminated) == (0.0, True)


def test_a_seed_draws_the_same_task_and_a_missing_one_is_said(env):
    first = env.reset(seed=5)[1]["task_id"]
    assert env.reset(seed=5)[1]["task_id"] == first
    with pytest.raises(UserError, match="no task 2"):
        env.reset(options={"task": 2})
    with pytest.raises(UserError, match="at least one task"):
        GymEnvironment(BrowserEnvironment(LocalSites()), [])
