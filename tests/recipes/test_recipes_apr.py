"""APR's recipe end to end at a tiny size, what it learns from, and what its figures mean."""

import dataclasses
import json
import os
import random
from pathlib import Path

import pytest
import torch

from turnsmith.credit.group_relative import attempt_advantages
from turnsmith.engine.threads import Engine
from turnsmith.engine.tree import Cancel, Limits, Request
from turnsmith.errors import UserError
from turnsmith.recipes.apr import claims as apr_claims
from turnsmith.recipes.apr import data as apr_data
from turnsmith.recipes.apr import evaluation as apr_eval
from turnsmith.recipes.apr import lessons as apr_lessons
from turnsmith.recipes.apr import model as apr_model
from turnsmith.recipes.apr import recipe as apr
from turnsmith.recipes.apr import rl as apr_rl
from turnsmith.recipes.apr import rollout as apr_rollout
from turnsmith.recipes.apr.config import RL, SMALL_TIER, Budget, Config, Size, Stage
from turnsmith.recipes.apr.threads import TOKENS_UNIT, CompactThreads, Place, VerbatimThreads
from turnsmith.recipes.apr.tier import Tier, check_overlap
from turnsmith.runs.config import from_json
from turnsmith.trace.store import Store
from turnsmith.worlds.countdown import compact, grammar
from turnsmith.worlds.countdown.problem import Problem, check, successors
from turnsmith.worlds.countdown.search import Node
from turnsmith.worlds.countdown.tokenizer import grammar_tokenizer

torch.set_num_threads(1)
TIER = SMALL_TIER
LAPTOP = Config.preset("laptop")
WORDING = CompactThreads(apr_data.vocabulary_of(TIER))


def test_no_training_problem_is_a_test_problem_and_unseen_targets_are_unseen():
    test = TIER.test_problems(600)
    assert len(test) > 200
    rng = random.Random(0)
    train = [TIER.draw(rng, test=False) for _ in range(3000)]
    check_overlap(train, test)
    assert not {problem.target for problem in train} & set(TIER.unseen)
    assert {problem.target for problem in test} >= set(TIER.unseen)
    moved = Problem(test[0].target, tuple(reversed(test[0].numbers)))
    with pytest.raises(UserError, match="in training and test"):
        check_overlap([moved], test)


def test_examples_are_the_searches_and_joins_are_not_learned():
    vocabulary = apr_data.vocabulary_of(TIER)
    rng = random.Random(1)
    examples = apr_data.take(apr_data.parallel_examples(dataclasses.replace(LAPTOP, losers=2), WORDING, rng), 20_000)
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
    vocabulary, rng, expansions = apr_data.vocabulary_of(TIER), random.Random(3), 0
    for example in apr_data.take(apr_data.drills(LAPTOP, WORDING, rng), 30_000):
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
    vocabulary = apr_data.vocabulary_of(TIER)
    told = dataclasses.replace(LAPTOP, conditioned=1.0)
    for example in apr_data.take(apr_data.serial_examples(told, WORDING, random.Random(2)), 5000):
        words = vocabulary.words(example.prompt_ids)
        assert words[0] == "tokens"
        units = int(words[1])
        assert TOKENS_UNIT * (units - 1) < example.length <= TOKENS_UNIT * units


def test_advantages_reach_children_and_tokens_of_joins_do_not_count():
    """Two attempts of one tree each, one solved: the calls share +A and -A by the number of calls of their tree."""
    model = apr_model.new_model(Config.preset("smoke"), WORDING)
    problem = Problem(24, (3, 8, 1))
    request = Request(WORDING.prompt(problem), 0, Place.root(problem))
    trees = Engine(model, WORDING, Limits(64)).run([request, dataclasses.replace(request, seed=1)])
    attempts = [
        apr_rollout.Attempt(problem, tree, solved, "") for tree, solved in zip(trees, (True, False), strict=True)
    ]
    advantages = attempt_advantages(apr_rl.rewards_of(attempts, RL(), 64), [0, 0])
    sequences = apr_rl.to_sequences(attempts, advantages, RL())
    assert len(sequences) == sum(len(thread.calls) for tree in trees for thread in tree.threads)
    assert {round(s.advantage, 6) for s in sequences} == {round(0.5**0.5, 6), -round(0.5**0.5, 6)}
    assert sum(s.share for s in sequences) == pytest.approx(1)
    assert sum(s.kl_share for s in sequences) == pytest.approx(1)
    priced = apr_rl.rewards_of(attempts, RL(price=0.5), 64)
    assert 0.5 <= float(priced[0]) < 1
    assert float(priced[1]) == 0


def result(solved, claims=None, samples=1, root=None):
    count = len(solved)
    return apr_eval.Result(
        samples, tuple(solved), (100,) * count, (50,) * count, (40,) * count, (2,) * count,
        tuple(root or (60,) * count), tuple(claims or ("",) * count), 1.0,
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
    assert row.within(64) == [1.0, 0.0, 0.0]
    assert row.within(128) == [1.0, 1.0, 0.0]


STORED = Path(__file__).parent / "stored"


def stored_cell(row):
    """The key of a result of the stored rewards, which named what was asked in words."""
    label, budget = row["label"], None
    if label == "fixed children":
        budget = Budget("calls", LAPTOP.fixed)
    elif label.startswith("calls "):
        budget = Budget("calls", int(label.split()[1]))
    elif label in ("short budget", "long budget"):
        budget = Budget("tokens", LAPTOP.window if label == "short budget" else LAPTOP.windows[-1])
    kinds: tuple[Cancel, ...] = ("verified", "claimed")
    cancel: Cancel = next((kind for kind in kinds if f"cancel {kind}" in row["key"]), "never")  # type: ignore
    abreast = int(row["key"].split(", ")[-1].split()[0]) if "abreast" in row["key"] else None
    serial = row["arm"].startswith("sos")
    method = apr_rollout.Method(row["window"], budget, row["temperature"], cancel, abreast, serial)
    return apr_eval.Cell(row["arm"], method, row["samples"])


def stored_seeds():
    stored = json.loads((STORED / "apr.json").read_text())
    fields = [field.name for field in dataclasses.fields(apr_eval.Result)]
    seeds = []
    for seed, rows in stored["evaluations"].items():
        results = {stored_cell(row): apr_eval.Result.from_json({name: row[name] for name in fields}) for row in rows}
        config = dataclasses.replace(LAPTOP, name=f"apr-s{seed}", seed=int(seed))
        seeds.append(apr_claims.seed_of(config, results))
    return seeds, stored["claims"]


def test_claims_of_stored_rewards_are_those_that_were_computed_before_they_became_a_table():
    seeds, expected = stored_seeds()
    made = [{**dataclasses.asdict(claim), "holds": claim.holds} for claim in apr_claims.claims(LAPTOP, seeds)]
    assert json.loads(json.dumps(made)) == expected


def test_a_result_that_one_seed_lacks_is_an_error_that_names_its_run():
    seeds, _ = stored_seeds()
    lost = apr_eval.Cells(LAPTOP).cancelled("apr-rl")
    fewer = {cell: result for cell, result in seeds[1].results.items() if cell != lost}
    seeds[1] = apr_claims.seed_of(dataclasses.replace(LAPTOP, name="apr-s1", seed=1), fewer)
    with pytest.raises(UserError, match="apr-s1"):
        apr_claims.claims(LAPTOP, seeds)


def test_the_laptop_settings_are_those_that_the_recorded_results_were_made_with():
    frozen = json.loads((STORED / "laptop_settings.json").read_text())["apr"]
    now = json.loads(json.dumps(dataclasses.asdict(LAPTOP)))
    tier, size = dict(frozen["tier"]), dict(frozen["size"])
    beam = tier.pop("beam")  # of parents, children and SoS+ alike
    assert now["tier"] == {**tier, "parent_beam": beam, "child_beam": beam, "serial_beam": beam}
    assert now["size"] == {**size, "mlp": 352, "tied": True}
    for name in ("warmup", "supervised"):
        optim = now[name]["optim"]
        assert now[name]["tokens"] == frozen[name]["tokens"]
        assert (optim["batch_size"], optim["learning_rate"]) == (16, frozen[name]["learning_rate"])
        assert (optim["schedule"], optim["warmup_updates"], optim["final_rate"]) == ("cosine", 50, 0.05)
        assert (optim["weight_decay"], optim["betas"], optim["grad_clip"]) == (0.01, [0.9, 0.98], 1.0)
    same = set(frozen) - {"tier", "size", "warmup", "supervised", "name"}
    assert {name: now[name] for name in same} == {name: frozen[name] for name in same}
    assert (now["text"], now["learn_given"]) == ("compact", False)


def test_the_defaults_and_the_paper_preset_are_the_papers():
    paper = Config.preset("paper")
    assert paper == Config()
    assert (paper.text, paper.join, paper.learn_given, paper.losers, paper.warmup.tokens) == (
        "verbatim", "rewrite", True, None, 0
    )  # fmt: skip
    assert paper.size == Size(width=1024, layers=18, heads=16, mlp=2752, context=4096, tied=False)
    assert paper.tier.numbers, paper.tier.targets == (4, (10, 100))
    assert (paper.tier.parent_beam, paper.tier.child_beam, paper.tier.serial_beam) == (10, 15, 5)
    assert (paper.rl.steps, paper.rl.problems, paper.rl.group, paper.rl.learning_rate) == (150, 64, 5, 1e-5)
    assert (paper.rl.kl, paper.serial_rl.kl) == (0.001, 0.01)
    optim = paper.supervised.optim
    assert paper.supervised.updates * optim.batch_size == 19_000 * 256
    assert (optim.learning_rate, optim.learning_rate * optim.final_rate) == (5e-5, pytest.approx(5e-7))


def test_the_tokenizer_of_the_papers_text_is_lossless_and_knows_every_word():
    tokenizer, wording, rng, tier = grammar_tokenizer(), VerbatimThreads(grammar_tokenizer()), random.Random(5), Tier()
    for _ in range(20):
        problem = tier.draw(rng, test=False)
        for text in (
            grammar.serial_text(tier.serial_search(problem, rng)),
            *(call.prompt + call.text for call in grammar.parallel_calls(tier.parallel_search(problem, rng))),
        ):
            ids = wording.encode(text)
            assert wording.text(ids) == text
            assert tokenizer.pad_token_id not in ids
            assert len(ids) < len(text) / 1.8


def test_shards_of_a_stage_depend_on_the_seed_and_their_number_alone():
    stage = dataclasses.replace(Stage(updates=250), optim=dataclasses.replace(Stage().optim, batch_size=2))
    source = apr_data.sources(LAPTOP, WORDING)["sos"]
    whole, resumed = (apr_lessons.Lessons(stage, source, "0/sos", 0) for _ in range(2))
    assert whole.total == 250
    first = [whole.examples(update) for update in (0, 99, 100, 249)]
    assert [resumed.examples(update) for update in (100, 249)] == first[2:]
    assert first[0] != first[2]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("apr"))
    try:
        config = dataclasses.replace(Config.preset("smoke"), arms=("apr", "sos", "apr-parent"))
        apr.main(config)
        yield config, Path("runs").resolve() / config.name
    finally:
        os.chdir(before)


def test_the_whole_recipe_runs_and_reports(smoke):
    config, folder = smoke
    report = json.loads((folder / "report.json").read_text())
    assert report["status"] == "done"
    assert {chart["title"] for chart in report["charts"]} == {"accuracy by context window", "accuracy by total tokens"}
    assert all(series["points"] for chart in report["charts"] for series in chart["series"])
    kept = apr_claims.kept(folder, config)
    assert {cell.arm for cell in kept} == {"sos", "apr", "apr-rl", "sos-rl", "apr-parent-rl"}
    with Store(folder / "run.db") as store:
        traces = list(store.traces())
    assert any("eval apr-rl" in str(trace.info["phase"]) for trace in traces)
    for trace in traces:
        assert trace.reward() in (0.0, 1.0)
        assert trace.turns[0].action.token_ids
    assert (folder / "tokenizer.json").exists()
    assert (folder / "report.html").exists()


def test_a_finished_run_does_nothing_again_and_a_lost_evaluation_is_made_again(smoke):
    config, folder = smoke
    assert from_json(Config, json.loads((folder / "config.json").read_text())) == config
    before = apr_claims.kept(folder, config)
    cell = apr_eval.Cells(config).greedy("apr-rl")
    lost = folder / "made" / "evaluations" / cell.name
    (lost / "inputs.json").write_text("{")
    metrics = (folder / "metrics.jsonl").read_text()
    apr.main(config)
    after = apr_claims.kept(folder, config)
    assert {cell: result.solved for cell, result in after.items()} == {c: r.solved for c, r in before.items()}
    assert after[cell].total == before[cell].total
    assert (folder / "metrics.jsonl").read_text() == metrics


def test_every_claim_id_is_made_from_the_results(smoke):
    config, folder = smoke
    seed = apr_claims.seed_of(config, apr_claims.kept(folder, config))
    made = {claim.id: claim for claim in apr_claims.claims(config, [seed])}
    wanted = (
        "window_gap_points",
        "rl_gain_points",
        "cancel_saving_pct",
        "serial_strong_success",
        "credit_children_gain_points",
    )
    assert set(wanted) <= set(made)
    cells = apr_eval.Cells(config)
    gain = 100 * (seed.of(cells.free("apr-rl")).success() - seed.of(cells.free("apr")).success())
    assert made["rl_gain_points"].value == pytest.approx(gain)
    assert made["cancel_saving_pct"].holds in (True, False)


def test_the_papers_path_runs_in_small_in_its_own_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = dataclasses.replace(Stage().optim, batch_size=2)
    config = dataclasses.replace(
        Config.preset("paper"), name="p", device="cpu", arms=("apr", "sos"),
        tier=dataclasses.replace(TIER, largest_result=None, shuffle=True, parent_beam=2, child_beam=2, serial_beam=2),
        size=Size(width=16, layers=1, heads=2, mlp=32, context=512), supervised=Stage(updates=3, optim=tiny),
        rl=RL(steps=1, problems=1, group=2), serial_rl=RL(steps=1, problems=1, group=2, kl=0.01),
        window=192, windows=(192, 256), fans=(2,), test_problems=2, samples=2, pictures=1,
    )  # fmt: skip
    monkeypatch.setattr(apr, "record_seeds", lambda config: None)
    apr.main(config)
    folder = tmp_path / "runs" / "p"
    assert json.loads((folder / "report.json").read_text())["status"] == "done"
    with Store(folder / "run.db") as store:
        shown = [turn.observation.text for trace in store.traces() for turn in trace.turns]
    assert all("Current State: " in text for text in shown)
    assert any(text.startswith("Moving to Node #0") for text in shown)
