"""APR's recipe end to end at a tiny size, what it learns from, and what its figures mean."""

import dataclasses
import json
import random
from pathlib import Path

import pytest
import torch

from turnsmith.credit.group_relative import attempt_advantages
from turnsmith.engine.threads import Engine
from turnsmith.engine.tree import Limits, Request
from turnsmith.errors import UserError
from turnsmith.recipes.apr import claims as apr_claims
from turnsmith.recipes.apr import data as apr_data
from turnsmith.recipes.apr import evaluation as apr_eval
from turnsmith.recipes.apr import model as apr_model
from turnsmith.recipes.apr import recipe as apr
from turnsmith.recipes.apr import rl as apr_rl
from turnsmith.recipes.apr import rollout as apr_rollout
from turnsmith.recipes.apr.threads import CompactThreads, Place
from turnsmith.runs.config import from_json
from turnsmith.trace.store import Store
from turnsmith.worlds.countdown import compact
from turnsmith.worlds.countdown.problem import Problem, check, successors
from turnsmith.worlds.countdown.search import Node

torch.set_num_threads(1)
TIER = apr_data.Tier()


def test_no_training_problem_is_a_test_problem_and_unseen_targets_are_unseen():
    test = TIER.test_problems(600)
    assert len(test) > 200
    rng = random.Random(0)
    train = [TIER.draw(rng, test=False) for _ in range(3000)]
    apr_data.check_overlap(train, test)
    assert not {problem.target for problem in train} & set(TIER.unseen)
    assert {problem.target for problem in test} >= set(TIER.unseen)
    moved = Problem(test[0].target, tuple(reversed(test[0].numbers)))
    with pytest.raises(UserError, match="in training and test"):
        apr_data.check_overlap([moved], test)


def test_examples_are_the_searches_and_joins_are_not_learned():
    vocabulary = TIER.vocabulary()
    rng = random.Random(1)
    examples = apr_data.take(apr_data.parallel_examples(TIER, rng, 0.5, 2, False), 20_000)
    parents = budgets = 0
    for example in examples:
        words = vocabulary.words(example.token_ids)
        assert words[-1] == "<eos>"
        if "join" in words:
            start, stop = words.index("join"), words.index("end")
            assert not any(example.mask[start : stop + 1])
            assert all(example.mask[:start])
            assert all(example.mask[stop + 1 :])
            parents += 1
        budgets += vocabulary.words(example.prompt_ids)[0] == "calls"
        if words[-2] != "none":
            problem, _ = compact.read_prompt(vocabulary.words(example.prompt_ids))
            whole = [*vocabulary.words(example.prompt_ids), *words[:-1]]
            path = compact.claimed(whole, Node((), problem.numbers))
            assert path is not None
            assert check(problem.target, problem.numbers, path)[0]
    assert parents > 20
    assert 0.3 < budgets / parents < 0.7


def test_drills_list_every_move_once_and_know_nothing_of_the_test_side():
    vocabulary, rng, expansions = TIER.vocabulary(), random.Random(3), 0
    for example in apr_data.take(apr_data.drills(TIER, rng), 30_000):
        prompt, words = vocabulary.words(example.prompt_ids), vocabulary.words(example.token_ids)
        problem, _ = compact.read_prompt(prompt)
        assert problem.target not in TIER.unseen
        assert all(example.mask)
        if len(problem.numbers) == 2:
            assert words[-1] == "<eos>"
            continue
        expansions += 1
        assert not TIER.held_out(problem)
        assert "<eos>" not in words
        moved = words.index("@")
        listed = [" ".join(words[at - 3 : at + 2]) for at in range(moved) if words[at] == "="]
        moves = [move for move, _ in successors(problem.numbers) if move.result <= 99]
        assert listed == [" ".join(compact.operation_words(move)) for move in moves]
        name = words[moved + 1]
        assert words[moved + 2 : moved + 4] == words[words.index(name) + 1 : words.index(name) + 3]
    assert expansions > 100


def test_a_serial_budget_promises_its_length():
    vocabulary = TIER.vocabulary()
    for example in apr_data.take(apr_data.serial_examples(TIER, random.Random(2), 1.0), 5000):
        words = vocabulary.words(example.prompt_ids)
        assert words[0] == "tokens"
        units = int(words[1])
        assert apr_data.TOKENS_UNIT * (units - 1) < example.length <= apr_data.TOKENS_UNIT * units


def test_advantages_reach_children_and_tokens_of_joins_do_not_count():
    """Two attempts of one tree each, one solved: the calls share +A and -A by the number of calls of their tree."""
    model = apr_model.new_model(apr.Config.preset("smoke"))
    protocol = CompactThreads(TIER.vocabulary())
    problem = Problem(24, (3, 8, 1))
    request = Request(protocol.prompt(problem), 0, Place.root(problem))
    trees = Engine(model, protocol, Limits(64)).run([request, dataclasses.replace(request, seed=1)])
    attempts = [
        apr_rollout.Attempt(problem, tree, solved, "") for tree, solved in zip(trees, (True, False), strict=True)
    ]
    advantages = attempt_advantages(apr_rl.rewards_of(attempts, apr_rl.RL(), 64), [0, 0])
    sequences = apr_rl.to_sequences(attempts, advantages, apr_rl.RL())
    assert len(sequences) == sum(len(thread.calls) for tree in trees for thread in tree.threads)
    assert {round(s.advantage, 6) for s in sequences} == {round(0.5**0.5, 6), -round(0.5**0.5, 6)}
    assert sum(s.share for s in sequences) == pytest.approx(1)
    assert sum(s.kl_share for s in sequences) == pytest.approx(1)
    priced = apr_rl.rewards_of(attempts, apr_rl.RL(price=0.5), 64)
    assert 0.5 <= float(priced[0]) < 1
    assert float(priced[1]) == 0


def result(solved, claims=None, samples=1, root=None, label="free", arm="sos"):
    count = len(solved)
    return apr_eval.Result(
        "key", arm, label, 128, 1.0, samples, tuple(solved), (100,) * count, (50,) * count, (40,) * count,
        (2,) * count, tuple(root or (60,) * count), tuple(claims or ("",) * count), 1.0,
    )  # fmt: skip


def test_pass_and_cons_by_hand():
    # two problems, three samples each; the second problem's majority is wrong, its unclaimed sample has no vote
    row = result((0, 1, 1, 1, 0, 0), ("a", "b", "b", "c", "d", "d"), samples=3)
    assert [apr_eval.pass_at(row, n) for n in (1, 2, 3)] == [0.5, 1.0, 1.0]
    assert [apr_eval.cons_at(row, n) for n in (1, 2, 3)] == [0.5, 0.5, 0.5]
    assert apr_eval.cons_at(result((0, 1), ("", "b"), samples=2), 2) == 1.0
    assert apr_eval.cons_at(result((0, 0), ("", ""), samples=2), 2) == 0.0


def test_a_serial_thread_counts_in_every_window_that_holds_it():
    row = result((1, 1, 0), root=(60, 100, 40))
    assert apr_eval.within(row, 64) == [1.0, 0.0, 0.0]
    assert apr_eval.within(row, 128) == [1.0, 1.0, 0.0]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    import os

    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("apr"))
    try:
        config = dataclasses.replace(apr.Config.preset("smoke"), arms=("apr", "sos", "apr-parent"))
        apr.main(config)
        yield config, Path("runs").resolve() / config.name
    finally:
        os.chdir(before)


def test_the_whole_recipe_runs_and_reports(smoke):
    _, folder = smoke
    report = json.loads((folder / "report.json").read_text())
    assert report["status"] == "done"
    assert {chart["title"] for chart in report["charts"]} == {"accuracy by context window", "accuracy by total tokens"}
    assert all(series["points"] for chart in report["charts"] for series in chart["series"])
    results = apr_eval.read_results(folder / "evaluations.jsonl")
    assert {row.arm for row in results.values()} == {"sos", "apr", "apr-rl", "sos-rl", "apr-parent-rl"}
    with Store(folder / "run.db") as store:
        traces = list(store.traces())
    assert any("eval apr-rl" in str(trace.info["phase"]) for trace in traces)
    for trace in traces:
        assert trace.reward() in (0.0, 1.0)
        assert trace.turns[0].action.token_ids
    assert (folder / "tokenizer.json").exists()
    assert (folder / "report.html").exists()


def test_a_finished_run_does_nothing_again_and_a_torn_evaluation_is_made_again(smoke):
    config, folder = smoke
    path = folder / "evaluations.jsonl"
    rows = path.read_text().splitlines(keepends=True)
    assert from_json(apr.Config, json.loads((folder / "config.json").read_text())) == config
    path.write_text("".join(rows[:-1]) + rows[-1][:50])
    apr.main(config)
    again = apr_eval.read_results(path)
    before = json.loads(rows[-1])
    assert len(again) == len(rows)
    assert list(again[before["key"]].solved) == before["solved"]
    assert list(again[before["key"]].total) == before["total"]


def test_every_claim_id_is_made_from_the_results(smoke):
    config, folder = smoke
    seeds = {0: apr_eval.read_results(folder / "evaluations.jsonl")}
    made = {claim.id: claim for claim in apr_claims.claims(config, seeds)}
    wanted = (
        "window_gap_points",
        "rl_gain_points",
        "cancel_saving_pct",
        "serial_strong_success",
        "credit_children_gain_points",
    )
    assert set(wanted) <= set(made)
    free = [row for row in seeds[0].values() if row.label == "free" and row.window == 128 and row.temperature == 1]
    by_arm = {row.arm: row for row in free if "cancel" not in row.key}
    gain = 100 * (by_arm["apr-rl"].success() - by_arm["apr"].success())
    assert made["rl_gain_points"].value == pytest.approx(gain)
    assert made["cancel_saving_pct"].holds in (True, False)
