"""Self-Challenging agents: logs as examples, the ladder of filters, claims, and the smoke preset."""

import asyncio
import json
import math
from collections import Counter
from pathlib import Path

import pytest

from turnsmith.envs.sandbox import Tier, launch
from turnsmith.errors import UserError
from turnsmith.evaluate.figures import SeedRun
from turnsmith.evaluate.passes import mean_passes, pass_at_k, pass_hat_k
from turnsmith.recipes.sca import recipe
from turnsmith.recipes.sca.agent import (
    challenge_tasks,
    challenger_environment,
    example_of,
    helper_environment,
    judge_prompt,
    judged_example,
    log_ids,
    new_policy,
    with_role,
)  # fmt: skip
from turnsmith.recipes.sca.challenge import audits, check_all, task_in
from turnsmith.recipes.sca.claims import FULL, PAE, ZERO, Evaluated, filters, ratio, table
from turnsmith.recipes.sca.config import Arm, Config, Size, arm_of
from turnsmith.recipes.sca.learning import copy_of, imitate, online, prefer
from turnsmith.rollout.collect import Limits, collect, evaluation_episodes
from turnsmith.runs.run import Run
from turnsmith.tasks.challenge import Filter
from turnsmith.trace.types import Verdict
from turnsmith.worlds import retail
from turnsmith.worlds.retail.challenges import executor_task, request_in, same_as_official
from turnsmith.worlds.retail.demonstrator import ScriptedChallenger, ScriptedHelper, Sloppiness
from turnsmith.worlds.retail.tasks import random_task, requests_of

sandboxed = pytest.mark.skipif(
    launch.find_tier()[0] is Tier.PLAIN, reason=f"no sandbox on this machine: {launch.find_tier()[1]}"
)


@pytest.fixture(scope="module")
def world():
    return retail.synthetic_world(3, 60)


def play(environment, policy, tasks, horizon=20):
    return asyncio.run(collect(environment, policy, evaluation_episodes(tasks, 0), Limits(horizon=horizon)))


def test_an_episode_is_one_example_of_the_very_ids_that_were_sampled(world):
    import random

    tasks = [random_task(f"t{n}", world.base, random.Random(n)) for n in range(4)]
    policy = new_policy(Size(width=32, layers=1, heads=2), 0, "random")
    for trace in play(helper_environment(world), policy, tasks, horizon=3):
        example = example_of(policy, trace)
        ids = [*example.prompt_ids, *example.token_ids]
        for turn in trace.turns:  # each turn's prompt begins the log, and its tokens follow
            end = len(turn.action.prompt_ids)
            assert tuple(ids[:end]) == turn.action.prompt_ids
            assert tuple(ids[end : end + len(turn.action.token_ids)]) == turn.action.token_ids
        said = [token for token, mine in zip(example.token_ids, example.mask, strict=True) if mine]
        assert said == [token for turn in trace.turns for token in turn.action.token_ids]


def test_a_scripted_episode_reads_as_what_was_done(world):
    import random

    task = random_task("t", world.base, random.Random(0))
    policy = new_policy(Size(width=32, layers=1, heads=2), 0, "random")
    (trace,) = play(helper_environment(world), ScriptedHelper([task], world.base), [task])
    stretches = [(policy.decode(ids), said) for ids, said in log_ids(policy, trace)]
    assert stretches[0] == ("help", False)
    assert [text for text, said in stretches if said] == [turn.action.text for turn in trace.turns]
    judged = judged_example(policy, trace, True)
    assert policy.decode(judged.token_ids) == "good"
    assert policy.decode(judge_prompt(policy, trace)).endswith("judge")


def test_only_challengers_may_propose_and_proposers_see_no_order(world):
    policy = new_policy(Size(width=32, layers=1, heads=2), 0, "random")
    assert with_role(policy, "challenge", "c").model is policy.model
    for role, seen in (("challenge", False), ("propose", True)):
        for task in challenge_tasks(world, 5, 0, role):
            words = json.dumps(task.params["words"])
            assert ("orders" in words) == seen
            assert not task.hidden


@sandboxed
def test_each_filter_keeps_fewer_tasks_and_more_of_them_are_right(world):
    occasions = challenge_tasks(world, 90, 1, "challenge")
    traces = play(challenger_environment(world), ScriptedChallenger(world.base, Sloppiness(missing=0.35)), occasions, 8)
    tasks = [task for trace in traces if (task := task_in(trace, world, False)) is not None]
    assert len(tasks) > 60
    assert all(task.explored for task in tasks)
    checks = check_all(tasks, world)
    kept = Counter(filter for one in checks for filter in Filter if one.kept_by(filter))
    assert kept[Filter.NONE] > kept[Filter.RUNS] >= kept[Filter.SOLUTION] > kept[Filter.FULL] > 0
    found = audits(tasks, checks, world, 1000)
    shares = [found[filter.value]["precision"] for filter in Filter]
    assert shares[0] < shares[-1]
    assert found["none"]["infeasible"] > found["solution"]["infeasible"] == found["full"]["infeasible"] == 0
    assert found["solution"]["false_positives"] > found["full"]["false_positives"]
    for task, one in zip(tasks, checks, strict=True):
        made = executor_task(task, world)
        if one.kept_by(Filter.FULL):
            assert made is not None
            assert requests_of(made) == [request_in(task)]
            assert same_as_official(request_in(task), [made])


def test_passes_are_the_shares_of_all_subsets():
    from itertools import combinations

    for n in range(1, 6):
        for c in range(n + 1):
            outcomes = [1] * c + [0] * (n - c)
            for k in range(1, n + 1):
                subsets = list(combinations(outcomes, k))
                assert math.isclose(pass_at_k(c, n, k), sum(map(any, subsets)) / len(subsets))
                assert math.isclose(pass_hat_k(c, n, k), sum(map(all, subsets)) / len(subsets))
    assert mean_passes([0, 4, 2], [4, 4, 4], 4) == (2 / 3, 1 / 3)
    with pytest.raises(ValueError, match="k = 5"):
        pass_at_k(1, 4, 5)


def test_claims_are_computed_from_the_rewards():
    def run(seed: int, zero: float, full: float, pae: float) -> SeedRun[Evaluated]:
        tasks = [f"t{n}" for n in range(40)]

        def rewards(share: float) -> dict[str, float]:
            return {task: float(n < share * 40) for n, task in enumerate(tasks)}

        return SeedRun(f"s{seed}", seed, {ZERO: rewards(zero), FULL: rewards(full), PAE: rewards(pae)})

    claim = ratio([run(0, 0.1, 0.3, 0.1), run(1, 0.2, 0.3, 0.1)])
    assert claim.value is not None
    assert math.isclose(claim.value, 2.0)
    assert claim.holds
    assert claim.ci95 is not None
    assert claim.ci95[0] > 1
    assert not ratio([run(0, 0.2, 0.3, 0.1)]).holds
    assert {row.id for row in table(Config.preset("laptop"))} >= {"over_pae_points", "scaling_800_over_200_points"}
    audit = {"full": {"right": 99, "audited": 100}, "solution": {"right": 80, "audited": 100}}
    precise, without = filters([{"audit": audit, "config": {"seed": 0}}])
    assert (precise.value, precise.holds, without.value) == (0.99, True, 0.8)


class Coin:
    """A judge of whom every second episode pleases."""

    name = "coin"

    async def judge(self, trace):
        return Verdict("coin", float(trace.seed % 2))


def test_every_method_learns_from_episodes_that_differ(world, tmp_path):
    import random
    from dataclasses import replace

    tasks = [random_task(f"t{n}", world.base, random.Random(n)) for n in range(2)]
    config = replace(Config.preset("smoke"), rollouts=8, online_iterations=2, horizon=3)
    policy = new_policy(Size(width=32, layers=1, heads=2), 0, "random")
    helper = ScriptedHelper(tasks, world.base, 1.0)
    episodes = [replace(one, id=f"{one.id}-{k}", seed=k) for k in range(8) for one in evaluation_episodes(tasks, 0)]
    environment = helper_environment(world)
    traces = asyncio.run(collect(environment, helper, episodes, Limits(horizon=20), judge=Coin()))
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    assert prefer(policy, traces, "coin", config)["pairs"] == 8
    assert any((value != before[name]).any() for name, value in policy.model.state_dict().items())
    assert imitate(policy, traces, config)["examples"] == 16
    for method in ("ppo", "grpo"):
        tried = copy_of(policy, method)
        with Run(tmp_path / method, {"recipe": "sca"}) as run:
            work = online(run, environment, tried, tasks, Coin(), Arm("full", 2, method), config)
            assert asyncio.run(work)["iteration"] == 2


def test_arms_have_names_that_are_read_back():
    for name in Config.preset("laptop").arms:
        assert arm_of(name).name == name
    assert arm_of("grpo-full-800") == Arm("full", 800, "grpo")
    with pytest.raises(UserError, match="unknown preset"):
        Config.preset("nothing")


@sandboxed
def test_the_smoke_preset_runs_and_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.preset("smoke")
    assert recipe.main(config).exists()
    report = json.loads(Path("runs/sca-smoke/report.json").read_text())
    assert report["status"] == "done"
    assert set(report["rewards"]) == {"zero-shot", *config.arms}
    assert report["inaction"] == {"do nothing": 0.0, "transfer at once": 0.0}
    assert set(report["audit"]) == {filter.value for filter in Filter}
    recipe.main(config)
    again = json.loads(Path("runs/sca-smoke/report.json").read_text())
    assert again["rewards"] == report["rewards"]
