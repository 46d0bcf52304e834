"""SWEET-RL: pairs of turns, the head's scores, and the smoke preset from the command line, resumed."""

import random

import pytest
import torch

from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.cli import main
from turnsmith.critics.turn_ratio import TurnHead, fit_head, rank_by_head, rank_by_ratio
from turnsmith.engine.forward import Prompt
from turnsmith.engine.score import score
from turnsmith.evaluate.figures import SeedRun
from turnsmith.learn.examples import Example
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.preference import pair
from turnsmith.recipes.sweet.claims import sweet_claims
from turnsmith.recipes.sweet.config import Arm, Config
from turnsmith.recipes.sweet.data import Context, answer_anchor, turn_comparison
from turnsmith.trace.types import Task

TASK = Task("t", "x", "programs")
CONTEXT = Context(TASK, (5, 6), (), (7, 1), True, True)


def test_pairs_of_a_turn_go_from_the_ranking_and_equal_candidates_count_once():
    candidates = [(1,), (2,), (3,), (4,), (1,)]
    scores = [0.4, 0.3, 0.2, 0.1, 0.4]
    one = turn_comparison(CONTEXT, candidates, scores, 2, "ranked", random.Random(0))
    assert one is not None
    said = [tuple(one.sides[place][0].token_ids for place in both) for both in one.pairs]
    assert said == [((1,), (4,)), ((2,), (3,))]
    assert {one.sides[place][0].token_ids for place in one.liked} == {(1,), (2,)}
    for seed in range(20):
        halves = turn_comparison(CONTEXT, candidates, scores, 1, "halves", random.Random(seed))
        assert halves is not None
        better, worse = (halves.sides[place][0].token_ids[0] for place in halves.pairs[0])
        assert better in (1, 2)
        assert worse in (3, 4)
    assert turn_comparison(CONTEXT, [(1,), (1,)], [0.1, 0.1], 2, "ranked", random.Random(0)) is None
    assert turn_comparison(CONTEXT, [(1,), (2,)], [0.1, 0.1], 2, "ranked", random.Random(0)) is None


def test_answers_of_successes_are_anchors():
    made = answer_anchor(CONTEXT)
    assert made is not None
    assert (made.pairs, made.sides[0][0].token_ids) == ((), (7, 1))
    assert answer_anchor(Context(TASK, (5,), (), (7, 1), True, False)) is None


def test_the_ratio_is_the_difference_of_mean_log_likelihoods():
    critic, reference = (new_copy_llama(30, width=32, layers=1, heads=2, context=64, seed=s).eval() for s in (1, 2))
    candidates = [[(1, 2, 3), (4,)], [(5, 6)]]
    found = rank_by_ratio(critic, reference, [(7, 8), (9,)], candidates, [(8,), (9,)])

    def mean(model, prompt, ids):
        return sum(score(model, [Prompt(prompt)], [ids])[0]) / len(ids)

    assert found[0][0] == pytest.approx(mean(critic, (7, 8), (1, 2, 3)) - mean(reference, (8,), (1, 2, 3)), abs=1e-5)
    assert found[1][0] == pytest.approx(mean(critic, (9,), (5, 6)) - mean(reference, (9,), (5, 6)), abs=1e-5)
    summed = rank_by_ratio(critic, None, [(7, 8), (9,)], candidates, mean=False)
    assert summed[0][0] == pytest.approx(3 * mean(critic, (7, 8), (1, 2, 3)), abs=1e-4)


def test_the_head_learns_which_of_two_episodes_is_better():
    torch.manual_seed(0)
    head = TurnHead(new_copy_llama(30, width=32, layers=1, heads=2, context=64, seed=1))

    def example(tokens):
        return Example((5,), tokens, tuple(t != 9 for t in tokens))

    pairs = [pair(example((2, 3, 9, 2)), example((4, 3, 9, 4))), pair(example((2,)), example((4, 9, 4)))]
    losses = fit_head(head, pairs, 1.0, OptimConfig(learning_rate=1e-2, batch_size=2, epochs=40, warmup_updates=1))
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert losses[-1] < 0.2
    [[good, bad]] = rank_by_head(head.eval(), [(5,)], [[(2,), (4,)]])
    assert good > bad


def test_claims_say_what_the_issue_asks():
    evaluations = {arm.value: {f"t{i}": float(i < n) for i in range(100)} for arm, n in zip(
        (Arm.ZERO_SHOT, Arm.RFT, Arm.MTDPO, Arm.SWEET, Arm.NO_HIDDEN, Arm.NO_NORM, Arm.REGRESSION),
        (20, 30, 35, 45, 40, 10, 38), strict=True)}  # fmt: skip
    claims = {c.id: c for c in sweet_claims([SeedRun("a", 0, evaluations), SeedRun("b", 1, evaluations)], [0.8, 0.9])}
    assert set(claims) == {"over_mtdpo_points", "zero_shot", "rft", "mtdpo", "sweet", "no_hidden_drop_points",
                           "no_norm_drop_points", "regression_drop_points", "turn_auc"}  # fmt: skip
    assert claims["over_mtdpo_points"].value == pytest.approx(10)
    assert claims["turn_auc"].value == 0.85
    assert claims["turn_auc"].holds


def test_the_paper_preset_is_the_paper():
    paper = Config.preset("paper")
    assert (paper.beta, paper.nll, paper.candidates, paper.critic.learning_rate) == (0.1, 0.01, 16, 2e-7)
    assert (paper.tasks * paper.attempts, paper.pairing, paper.critic_reduction) == (15_000, "halves", "turn_mean")
    assert (paper.critic.epochs, paper.actor.epochs, paper.mtdpo.epochs, paper.rft.batch_size) == (4, 1, 4, 32)


def test_smoke_runs_and_a_second_call_finds_everything_done(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "sweet", "--preset", "smoke"]) == 0
    said = capsys.readouterr().out
    for arm in Arm:
        assert f"{arm.value}: " in said
    import json

    report = json.loads((tmp_path / "runs/sweet-smoke/report.json").read_text())
    assert set(report["rewards"]) == {arm.value for arm in Arm}
    assert all(len(rows) == 16 for rows in report["rewards"].values())
    assert main(["run", "sweet", "--preset", "smoke"]) == 0
    again = json.loads((tmp_path / "runs/sweet-smoke/report.json").read_text())
    assert again["rewards"] == report["rewards"]
