"""Plays episodes in BrowserGym and times every reset and step. Runs in BrowserGym's own environment, not in ours.

`compare.py` starts it and talks to it in JSON lines: a list of episodes in, their times out. It imports nothing of
Turnsmith. BrowserGym is used as its documentation says (`gym.make`), with its defaults; `--no-sleeps` sets the two
options that make it sleep to zero: `slow_mo` (100 ms after each Playwright call on MiniWoB tasks) and
`pre_observation_delay` (500 ms a step). No code of BrowserGym is changed but for one thing: its chat window launches a
second browser and takes no path for it, so `BrowserType.launch` gets a default path.
"""

import argparse
import json
import logging
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--chromium", required=True)
    parser.add_argument("--no-sleeps", action="store_true")
    arguments = parser.parse_args()

    import browsergym.miniwob  # registers the tasks
    import gymnasium
    import playwright.sync_api

    launch = playwright.sync_api.BrowserType.launch

    def launch_that_chromium(self, **options):
        return launch(self, **{"executable_path": arguments.chromium, **options})

    playwright.sync_api.BrowserType.launch = launch_that_chromium
    options = {"slow_mo": 0, "pre_observation_delay": 0.0} if arguments.no_sleeps else {}

    logging.getLogger("browsergym").setLevel(logging.ERROR)  # it warns at each reset that slow_mo was overridden
    print(json.dumps({"ready": browsergym.core.__version__}), flush=True)
    for line in sys.stdin:
        episodes = json.loads(line)
        print(json.dumps([play(gymnasium, episode, options) for episode in episodes]), flush=True)


def play(gymnasium, episode: dict, options: dict) -> dict:
    """One episode: {"page", "seed", "steps"} in; goal, reward, errors and seconds out."""
    env = gymnasium.make(f"browsergym/miniwob.{episode['page']}", **options)
    clock = time.perf_counter()
    observation, _ = env.reset(seed=episode["seed"])
    reset = time.perf_counter() - clock
    goal, reward, done, seconds, errors = observation["goal"], 0.0, False, [], []
    for step in episode["steps"]:
        action = to_action(step, observation["axtree_object"])
        clock = time.perf_counter()
        observation, reward, done, _, _ = env.step(action)
        seconds.append(time.perf_counter() - clock)
        errors.append(observation["last_action_error"])
    env.close()
    return {
        "goal": goal,
        "reward": reward,
        "done": done,
        "reset_s": reset,
        "step_s": seconds,
        "errors": [error for error in errors if error],
    }


def to_action(step: dict, axtree: dict) -> str:
    """BrowserGym's action for one step of a plan: finds the element by role, name and position."""
    found = [
        node["browsergym_id"]
        for node in axtree["nodes"]
        if "browsergym_id" in node
        and node["role"]["value"] == step["role"]
        and step["name"] in (None, node["name"]["value"])
    ]
    bid = found[step["nth"]]
    return f"fill({bid!r}, {step['text']!r})" if step["do"] == "type" else f"click({bid!r})"


if __name__ == "__main__":
    main()
