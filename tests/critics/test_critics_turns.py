"""Credit for logs: turns that decide are told from those that do not, whatever kind of text they are in."""

import made_logs
import numpy as np
import pytest
import torch
from made_logs import KINDS

from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.agents.tokenizer import train_tokenizer
from turnsmith.critics.log_credit import LogCredit, Method, calibration, credit_log, hidden_texts
from turnsmith.critics.turn_critic import CriticConfig, fit_log
from turnsmith.critics.turn_likelihood import encode, transcript, turn_likelihoods
from turnsmith.critics.turn_words import Vocabulary, describe, said, text_of, words
from turnsmith.engine.forward import Prompt
from turnsmith.engine.score import score
from turnsmith.errors import UserError
from turnsmith.evaluate.ranking import auc
from turnsmith.trace.types import Action, Call, Observation, Turn

FEW = CriticConfig(folds=4, repeats=2, ridges=(1.0,), iterations=25)


def separation(log, method: Method = "sweet", hidden=None, config=FEW) -> tuple[float, LogCredit]:
    """AUC of the advantage for the turns that decide."""
    credit = credit_log(log, method, hidden=hidden_texts(log, hidden), config=config)
    labels = [turn.info["decides"] for trace in credit.traces for turn in trace.turns]
    found = auc([a for row in credit.advantages for a in row], labels)
    assert found is not None
    return found, credit


@pytest.mark.parametrize("kind", KINDS)
def test_turns_that_decide_stand_out(kind):
    found, credit = separation(KINDS[kind](240), hidden="report" if kind == "faults" else None)
    assert found >= 0.9, kind
    assert credit.fitted.agreement > 0.6


def test_hidden_information_is_what_tells_useful_questions_apart():
    log = made_logs.faults(240)
    assert separation(log)[0] < 0.65 < 0.9 < separation(log, hidden="report")[0]


def test_a_turn_that_only_gives_the_outcome_away_gets_little_of_the_credit():
    log = made_logs.support(240, reveals=True)
    found, credit = separation(log)
    assert found > 0.85
    turns = np.array(credit.advantages)
    decides = np.array([[turn.info["decides"] for turn in trace.turns] for trace in credit.traces])
    assert turns[decides].mean() > turns[:, 5].mean() + 0.5


def test_nothing_is_explained_where_nothing_decides():
    log = made_logs.support(240)
    outcomes = np.random.default_rng(0).permutation([trace.reward() for trace in log])
    from dataclasses import replace

    from turnsmith.trace.types import Verdict

    shuffled = [replace(t, verdicts=(Verdict("oracle", float(o)),)) for t, o in zip(log, outcomes, strict=True)]
    _, credit = separation(shuffled)
    assert credit.fitted.log_loss > 0.97 * credit.fitted.base_loss


def test_what_is_said_of_an_episode_does_not_depend_on_its_own_outcome():
    log = made_logs.web(60)
    hidden = [""] * len(log)
    vocabulary = Vocabulary(log, hidden)
    described = [describe(trace, "", vocabulary) for trace in log]
    outcomes = [trace.reward() or 0.0 for trace in log]
    config = CriticConfig(folds=3, repeats=1, ridges=(1.0,), iterations=30)
    groups = [trace.task.id for trace in log]
    before = fit_log(described, outcomes, groups, config=config)
    turned = [1 - outcomes[0], *outcomes[1:]]
    after = fit_log(described, turned, groups, config=config)
    # Centring subtracts the log's mean, which the other folds share; differences within the episode remain.
    assert np.diff(after.episodes[0].scores) == pytest.approx(np.diff(before.episodes[0].scores), abs=1e-6)
    assert after.episodes[0].values == pytest.approx(before.episodes[0].values, abs=1e-6)


def test_the_fit_is_the_optimum_of_the_penalised_likelihood():
    """At the optimum the gradient is 0; compared with finite differences of the likelihood itself."""
    from turnsmith.critics.turn_critic import FAMILIES, _Problem

    log = made_logs.web(40)
    vocabulary = Vocabulary(log, [""] * 40)
    outcome = np.array([trace.reward() for trace in log])
    described = [describe(trace, "", vocabulary) for trace in log]
    problem = _Problem(described, outcome, FAMILIES["words"], False, CriticConfig())
    every = np.ones(40, dtype=bool)
    weight = problem.fit(every, 1.0, 500, None)

    def objective(at):
        logit_E = problem.score(at)[:, 0]
        loss = (torch.nn.functional.softplus(logit_E) - problem.outcome_E * logit_E) @ problem._weight_E
        return float(loss + 0.5 * (problem._shrink_F * at.square()).sum())

    source = torch.Generator().manual_seed(0)
    for _ in range(5):
        step = torch.randn(len(weight), generator=source, dtype=torch.float64) * 1e-3
        slope = (objective(weight + step) - objective(weight - step)) / 2
        assert abs(slope) < 1e-4
        assert objective(weight) <= objective(weight + step)


@pytest.mark.parametrize("method", ["outcome", "step", "q"])
def test_the_other_methods_are_what_they_say(method):
    log = made_logs.support(120)
    _, credit = separation(log, method, config=CriticConfig(folds=3, repeats=1, ridges=(1.0,), iterations=30))
    for row, values, reward in zip(credit.advantages, credit.values, credit.rewards, strict=True):
        if method == "outcome":
            assert row == [reward - values[0]] * 6
        if method == "step":  # the differences telescope
            assert sum(row) == pytest.approx(reward - values[0])
        if method == "q":
            assert all(-1 < advantage < 1 for advantage in row)
    assert sum(count for _, _, count in calibration(credit)) == 720


def test_calls_arguments_and_scripts_become_words():
    turn = Turn(Observation(""), Action("", Call("tap", {"at": [0.52, 0.13], "text": "Order W12"})))
    assert said(turn).arguments == (("at", "0.5"), ("at", "0.1"), ("text", "Order W12"))
    assert words("Order W12, 訂單!") == ["order", "w", "12", "訂", "單", "!"]
    assert text_of({"a": {"b": 1}, "c": ["x", "y"]}) == "a.b 1\nc x\nc y"


def test_logs_without_anything_to_learn_are_refused():
    log = made_logs.support(20)
    with pytest.raises(UserError, match="all 10 outcomes are 1"):
        credit_log([trace for trace in made_logs.support(60) if trace.reward() == 1][:10], "sweet")
    with pytest.raises(UserError, match="at least 8"):
        credit_log(log[:3], "sweet")
    with pytest.raises(UserError, match="no task has a hidden field"):
        hidden_texts(log, "report")


def test_likelihoods_of_turns_are_those_of_the_scored_text():
    log = made_logs.support(4)
    tokenizer = train_tokenizer([turn.action.text for trace in log for turn in trace.turns] * 5, vocab_size=1100)
    model = new_copy_llama(len(tokenizer), width=32, layers=1, heads=2, context=1024).eval()
    found = turn_likelihoods(model, tokenizer, log)
    ids, turns = encode(tokenizer, transcript(log[1]))
    first = turns.index(2)
    last = len(turns) - turns[::-1].index(2)
    assert str(tokenizer.decode(ids[first:last])).strip() == log[1].turns[2].action.text
    alone = score(model, [Prompt(ids[:first])], [ids[first:last]])[0]
    assert found[1][2] == pytest.approx(sum(alone) / len(alone), rel=1e-4)
    with_hidden = turn_likelihoods(model, tokenizer, log, ["the router is broken"] * 4)
    assert with_hidden[1][2] != pytest.approx(found[1][2], rel=1e-4)


def test_reading_the_dialogue_with_a_model_is_a_feature_like_others():
    log = made_logs.support(120)
    useful = [[2.0 * turn.info["decides"] for turn in trace.turns] for trace in log]
    config = CriticConfig(folds=3, repeats=1, ridges=(1.0,), iterations=30)
    credit = credit_log(log, "sweet", likelihoods=[("said", useful)], config=config)
    assert credit.fitted.telling[0][0] == "model said"
