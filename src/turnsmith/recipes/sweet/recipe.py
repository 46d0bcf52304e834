"""SWEET-RL (arXiv 2503.15478): step-level credit from training-time information, then DPO turn by turn.

    policy = a small model, pre-trained on dialogues of mixed quality       (a pretrained model needs none)
    D = its own dialogues about training tasks, three each                  (offline data, shared by all arms)
    rft    <- SFT on the successes of D
    mtdpo  <- DPO of whole dialogues, successes against failures of a task
    A_θ    <- Bradley-Terry on the same pairs: Σ_t mean_l log π_θ/π_ref(a | o, c), c the hidden specification
    sweet  <- at turns of D: 16 candidates, ranked by A_θ; DPO of the better against the worse, given o alone
    test all on held-out tasks

The ablations differ in the critic alone: it does not read c, it sums instead of taking a turn's mean, it is a head on
hidden states. `oracle` ranks by the truth and is a control. What small models need beside the paper (docs in README):
a weight of 1 for the NLL of every arm that compares, answers ranked apart from questions, and anchors.
"""

import copy
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel

from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.critics.turn_ratio import TurnHead, fit_head, rank_by_ratio
from turnsmith.engine.sampling import turn_seed
from turnsmith.errors import UserError
from turnsmith.evaluate.ranking import auc
from turnsmith.evaluate.summary import rewards_by_task
from turnsmith.learn.checkpoint import ModelFormat
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.preference import Comparison, PreferenceConfig
from turnsmith.learn.preference import train as train_preferences
from turnsmith.learn.sft import train as train_sft
from turnsmith.recipes.sweet.claims import record_claims
from turnsmith.recipes.sweet.colbench import learn_on_colbench
from turnsmith.recipes.sweet.config import SWEET_ARMS, Arm, Config
from turnsmith.recipes.sweet.critic import Critic, HeadFormat, Ids, truth_of
from turnsmith.recipes.sweet.data import (
    Context,
    answer_anchor,
    contexts_of,
    dialogue_example,
    outcome_of,
    trajectory_pairs,
    turn_comparison,
)
from turnsmith.recipes.sweet.offline import learn_from_logs
from turnsmith.recipes.sweet.report import finish, record_credit
from turnsmith.recipes.sweet.sweep import sweep
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.once import JsonFormat
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run
from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.types import Task, Trace
from turnsmith.view.report import write_report
from turnsmith.worlds.programs import dialogue
from turnsmith.worlds.programs.play import WORDS, draw, hidden_prefix, make_tokenizer, play, scripted
from turnsmith.worlds.programs.spec import make_tasks

_CHUNK = 500
"""Dialogues that are played and stored at a time."""
_AUC_CONTEXTS = 400


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`; of the new policy's folder where it learned from logs.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    if config.sweep:
        return sweep(config, main)
    if config.model and not config.source and not config.colbench.asked_for:
        raise UserError(
            "--model is for --from RUN or --colbench.log FILE; the local world trains a small model of its own."
        )
    with Run(Path("runs") / config.name, to_json("sweet", config), may_grow=("arms",)) as run:
        if config.source:
            return learn_from_logs(config, run)
        (learn_on_colbench if config.colbench.asked_for else _main)(config, run)
    if config.preset_name == "laptop" and set(config.arms) == set(Arm) and not changed(config):
        record_claims(config)
    return write_report(run.folder, traces=10)


def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="sweet", config=run.config)
    train, test = make_tasks("train", config.tasks, config.seed), make_tasks("test", config.test_tasks, 0)
    check_overlap(train, test)
    base = run.once("base", _inputs(config, "base", "seed"), lambda: pretrain(config), ModelFormat(_new_model(config)))
    log = dialogues(run, base, train * config.attempts, "offline", config.seed)
    console.print(f"offline: {len(log):,} dialogues, {100 * _success(log):.1f} % success")
    rewards = {}
    zero = dialogues(run, base, test, f"eval-{Arm.ZERO_SHOT.value}", 0)
    critics: dict[Arm, Critic] = {}
    for arm in config.arms:
        if arm in SWEET_ARMS:
            critics[arm] = make_critic(config, run, arm, base, log)
        if arm is Arm.SWEET:
            record_credit(run, critics[arm], log)
        traces = zero
        if arm is not Arm.ZERO_SHOT:
            policy = train_arm(config, run, arm, base, log, critics.get(arm))
            traces = dialogues(run, policy, test, f"eval-{arm.value}", 0)
        rewards[arm.value] = rewards_by_task(traces)
        log_arm(run, arm.value, traces)
    numbers = judge_critics(config, run, base, zero, critics)
    best = best_of_n(config, run, base, test, critics) if config.best_of and Arm.SWEET in critics else {}
    finish(run, rewards, numbers, best, time.time() - started)


# -- the policy, and its dialogues


def _new_model(config: Config) -> PreTrainedModel:
    size = config.base
    return new_copy_llama(
        len(make_tokenizer()), width=size.width, layers=size.layers, heads=size.heads, context=512, seed=config.seed
    )


def pretrain(config: Config) -> PreTrainedModel:
    """A model that converses, and reads a hidden specification where there is one."""
    model, base = _new_model(config), config.base
    tasks = make_tasks("train", base.dialogues, turn_seed(config.seed, 1_000_000), tests=False)
    examples = []
    for index, task in enumerate(tasks):
        hidden = index % 2 == 0
        trace = scripted(task, turn_seed(config.seed, index), base.quality_hidden if hidden else base.quality)
        examples.append(dialogue_example(trace, hidden))
    optim = replace(base.optim, seed=config.seed)
    with progress_bar("pre-training", optim.updates(len(examples))) as advance:
        train_sft(model, examples, optim, on_update=lambda done: advance(note=f"loss {done.loss:.3f}"))
    return model


def dialogues(run: Run, model: PreTrainedModel, tasks: Sequence[Task], phase: str, seed: int) -> list[Trace]:
    """Play these tasks, or read back those that the store has; one commit for every 500."""
    stored = {trace.id: trace for trace in run.store.traces(phase=phase)}
    seeds = [turn_seed(seed + 1, index) for index in range(len(tasks))]
    if len(stored) < len(tasks):
        with progress_bar(phase, len(tasks)) as advance:
            for start in range(0, len(tasks), _CHUNK):
                part = slice(start, start + _CHUNK)
                if start + len(tasks[part]) > len(stored):
                    traces = play(model, tasks[part], seeds[part], phase=phase, policy=phase.removeprefix("eval-"))
                    fresh = [trace for trace in traces if trace.id not in stored]
                    run.store.append_many(fresh)
                    stored |= {trace.id: trace for trace in fresh}
                advance(len(tasks[part]))
    return list(stored.values())


def _success(traces: Sequence[Trace]) -> float:
    return sum(outcome_of(trace) for trace in traces) / max(1, len(traces))


# -- critics


def make_critic(config: Config, run: Run, arm: Arm, base: PreTrainedModel, log: Sequence[Trace]) -> Critic:
    """Fit the critic of an arm on the outcomes of the offline data, or read it back."""
    if arm is Arm.ORACLE:
        return Critic(config, arm, base, None)
    pairs = trajectory_pairs(log, hidden=arm is not Arm.NO_HIDDEN, questions_only=not config.rank_answers)
    optim = replace(config.critic, seed=config.seed)
    inputs = _inputs(config, "base", "tasks", "attempts", "seed", "critic", "beta", "nll", "critic_reduction")
    if arm is Arm.REGRESSION:
        head = TurnHead(copy.deepcopy(base))

        def fitted() -> TurnHead:
            if pairs:
                fit_head(head, pairs, config.beta, optim)
            return head

        return Critic(config, arm, base, run.once(f"critic/{arm.value}", inputs, fitted, HeadFormat(head)))
    reduction = "sum" if arm is Arm.NO_NORM else config.critic_reduction
    preference = PreferenceConfig(beta=config.beta, nll=config.nll, reduction=reduction)

    def trained() -> PreTrainedModel:
        model = copy.deepcopy(base)
        _compare(f"critic {arm.value}", model, pairs, preference, optim)
        return model

    net = run.once(f"critic/{arm.value}", inputs, trained, ModelFormat(_new_model(config)))
    return Critic(config, arm, base, net.eval())


# -- arms


def train_arm(
    config: Config, run: Run, arm: Arm, base: PreTrainedModel, log: Sequence[Trace], critic: Critic | None
) -> PreTrainedModel:
    """The policy of an arm, trained or read back."""
    settings = {key: value for key, value in run.config.items() if key not in ("arms", "name", "command", "best_of")}

    def trained() -> PreTrainedModel:
        model = copy.deepcopy(base)
        if arm is Arm.RFT:
            examples = [dialogue_example(trace) for trace in log if outcome_of(trace) > 0.5]
            if not examples:
                console.print("rft: no dialogue succeeded, so there is nothing to learn from")
                return model
            optim = replace(config.rft, seed=config.seed)
            with progress_bar("rft", optim.updates(len(examples))) as advance:
                train_sft(model, examples, optim, on_update=lambda _: advance())
            return model
        preference = PreferenceConfig(beta=config.beta, nll=config.nll)
        if arm is Arm.MTDPO:
            _compare("mtdpo", model, trajectory_pairs(log), preference, replace(config.mtdpo, seed=config.seed))
            return model
        assert critic is not None
        comparisons = turn_comparisons(config, run, critic, base, log)
        _compare(arm.value, model, comparisons, preference, replace(config.actor, seed=config.seed))
        return model

    return run.once(f"policy/{arm.value}", settings, trained, ModelFormat(_new_model(config))).eval()


def _compare(
    what: str, model: PreTrainedModel, comparisons: list[Comparison], config: PreferenceConfig, optim: OptimConfig
) -> None:
    if not comparisons:
        console.print(f"{what}: no task has a success and a failure, so there is nothing to learn from")
        return
    with progress_bar(f"{what}: {len(comparisons):,} comparisons", optim.updates(len(comparisons))) as advance:
        _, accuracy = train_preferences(model, comparisons, config, optim, on_update=lambda _: advance())
    known = [share for share in accuracy[-20:] if share == share]
    if known:
        console.print(f"{what}: {100 * sum(known) / len(known):.0f} % of the last pairs ranked right")


def turn_comparisons(
    config: Config, run: Run, critic: Critic, base: PreTrainedModel, log: Sequence[Trace]
) -> list[Comparison]:
    """Pairs of the candidates of a turn as this critic ranks them, and the anchors; all arms share the candidates."""
    contexts = contexts_of(log, config.contexts, config.seed)
    turns = [context for context in contexts if config.rank_answers or not context.answers]
    inputs = _inputs(config, "base", "tasks", "attempts", "seed", "contexts", "candidates", "rank_answers")
    drawn = run.once("candidates", inputs, lambda: draw_candidates(config, base, turns), _CANDIDATES)
    if not config.rank_answers:
        drawn = [[ids for ids in group if not _answers(ids)] for group in drawn]
    scores = critic.rank([c.task for c in turns], [c.prompt_ids for c in turns], [c.asked for c in turns], drawn)
    source = random.Random(f"pairs/{config.seed}")
    found = [
        turn_comparison(context, group, rated, config.pairs, config.pairing, source)
        for context, group, rated in zip(turns, drawn, scores, strict=True)
    ]
    if not config.rank_answers:
        found += [answer_anchor(context) for context in contexts]
    return [comparison for comparison in found if comparison is not None]


def draw_candidates(config: Config, base: PreTrainedModel, contexts: Sequence[Context]) -> list[list[Ids]]:
    """Responses of the policy to each turn; it reads no hidden specification."""
    found: list[list[Ids]] = []
    with progress_bar(f"{config.candidates} candidates a turn", len(contexts)) as advance:
        for start in range(0, len(contexts), 100):
            part = contexts[start : start + 100]
            prompts = [context.prompt_ids for context in part for _ in range(config.candidates)]
            first = turn_seed(config.seed, 10_000_000 + start)
            drawn = draw(base, prompts, [turn_seed(first, place) for place in range(len(prompts))])
            rows = iter(ids for ids, _ in drawn)
            found += [[next(rows) for _ in range(config.candidates)] for _ in part]
            advance(len(part))
    return found


_CANDIDATES: JsonFormat[list[list[Ids]]] = JsonFormat(lambda rows: [[tuple(ids) for ids in group] for group in rows])


def _answers(ids: Ids) -> bool:
    return WORDS.text(ids[:1]) == dialogue.ANSWER


# -- what came of it


def log_arm(run: Run, arm: str, traces: Sequence[Trace]) -> None:
    """Success, passed tests, and what the dialogues look like: a reply that shrinks is the sign of collapse."""
    turns = [(trace, turn) for trace in traces for turn in trace.turns]
    asks = [(trace, turn) for trace, turn in turns if turn.action.call is not None and turn.action.call.name == "ask"]
    relevant = [t.action.call.arguments["slot"] in trace.task.hidden["words"].split() for trace, t in asks
                if t.action.call is not None and t.action.call.arguments["slot"]]  # fmt: skip
    run.log(
        phase=f"eval-{arm}",
        success=_success(traces),
        tests=sum(float(trace.info.get("tests", 0)) for trace in traces) / max(1, len(traces)),
        turns=len(turns) / max(1, len(traces)),
        reply_tokens=sum(len(turn.action.token_ids) for _, turn in turns) / max(1, len(turns)),
        malformed=sum(turn.action.call is None for _, turn in turns) / max(1, len(traces)),
        relevant_share=sum(relevant) / max(1, len(relevant)),
        unanswered=sum(trace.outcome == "truncated" for trace in traces) / max(1, len(traces)),
    )
    console.print(f"{arm}: {100 * _success(traces):.1f} % success in {len(turns) / max(1, len(traces)):.1f} turns")


def judge_critics(
    config: Config, run: Run, base: PreTrainedModel, zero: Sequence[Trace], critics: dict[Arm, Critic]
) -> dict[str, float]:
    """AUC of each critic for useful questions among the candidates of turns of test tasks, the mean over turns.

    The untrained difference log π(a|o,c) − log π(a|o) is the control that says what learning added.
    """
    contexts = [c for c in contexts_of(zero, 2 * _AUC_CONTEXTS, config.seed + 1) if not c.answers][:_AUC_CONTEXTS]
    inputs = _inputs(config, "base", "seed", "candidates")
    drawn = run.once("candidates-test", inputs, lambda: draw_candidates(config, base, contexts), _CANDIDATES)
    drawn = [[ids for ids in dict.fromkeys(group) if not _answers(ids)] for group in drawn]
    tasks, prompts = [c.task for c in contexts], [c.prompt_ids for c in contexts]
    truth = [[truth_of(c.task, c.asked, ids) > 0.5 for ids in group] for c, group in zip(contexts, drawn, strict=True)]
    found: dict[str, float] = {}

    def note(name: str, scores: list[list[float]]) -> None:
        areas = [auc(rated, labels) for rated, labels in zip(scores, truth, strict=True) if rated]
        known = [area for area in areas if area is not None]
        if known:
            found[name] = sum(known) / len(known)

    for arm, critic in critics.items():
        if arm is not Arm.ORACLE:
            note(arm.value, critic.rank(tasks, prompts, [c.asked for c in contexts], drawn))
    hidden = [(*hidden_prefix(task), *ids) for task, ids in zip(tasks, prompts, strict=True)]
    note("untrained", rank_by_ratio(base, base, hidden, drawn, prompts))
    run.log(phase="critics", **{f"auc_{name}": value for name, value in found.items()})
    if found:
        console.print("AUC for useful questions: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    return found


def best_of_n(
    config: Config, run: Run, base: PreTrainedModel, test: Sequence[Task], critics: dict[Arm, Critic]
) -> dict[str, dict[int, float]]:
    """The base policy with the best of N candidates a turn, by each critic that was fitted (c is read at test time).

    Returns:
        Success by N, by arm.
    """
    tasks = test[:200]
    found: dict[str, dict[int, float]] = {}
    for arm, critic in critics.items():
        for count in config.best_of:

            def choose(
                playing: Sequence[Task],
                prompts: Sequence[list[int]],
                seeds: Sequence[int],
                count: int = count,
                critic: Critic = critic,
            ) -> list[Ids]:
                given = [tuple(ids) for ids in prompts for _ in range(count)]
                drawn = draw(base, given, [turn_seed(seed, place) for seed in seeds for place in range(count)])
                groups = [[ids for ids, _ in drawn[i * count : (i + 1) * count]] for i in range(len(prompts))]
                # A critic of questions ranks those alone: whether to answer is left to the first draw.
                if not config.rank_answers:
                    groups = [
                        group[:1] if _answers(group[0]) else [ids for ids in group if not _answers(ids)]
                        for group in groups
                    ]
                asked = [() for _ in groups]
                scores = critic.rank(playing, [tuple(ids) for ids in prompts], asked, groups)
                return [
                    group[max(range(len(group)), key=rated.__getitem__)]
                    for group, rated in zip(groups, scores, strict=True)
                ]

            seeds = [turn_seed(1, index) for index in range(len(tasks))]
            with torch.no_grad():
                traces = play(base, tasks, seeds, phase=f"best-of-{count}-{arm.value}", choose=choose)
            found.setdefault(arm.value, {})[count] = _success(traces)
        run.log(phase=f"best-of-n-{arm.value}", **{f"n_{n}": success for n, success in found[arm.value].items()})
    return found


def _inputs(config: Config, *names: str) -> dict[str, object]:
    settings = asdict(config)
    return {name: settings[name] for name in names}
