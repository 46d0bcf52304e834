"""What a chat model learns from its rollouts, by each method: turns are examples, rewards are the judge's."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.credit.group_relative import attempt_advantages
from turnsmith.critics.turn_value import TurnValue, features, turn_advantages
from turnsmith.learn import policy_gradient, preference, sft
from turnsmith.learn.examples import Example, examples_from_traces
from turnsmith.recipes.sca.config import Config
from turnsmith.recipes.sca.learning import won
from turnsmith.runs.progress import progress_bar
from turnsmith.trace.types import Outcome, Trace


def turns_of(policy: HFPolicy, trace: Trace) -> list[Example]:
    """An episode's turns, those that were cut off or say nothing left out."""
    return examples_from_traces([trace], policy)


def imitate(policy: HFPolicy, traces: Sequence[Trace], config: Config) -> dict[str, Any]:
    """Supervised on all turns of these episodes."""
    examples = [example for trace in traces for example in turns_of(policy, trace)]
    if not examples:
        return {"examples": 0}
    optim = replace(config.update, seed=config.seed)
    with policy.lock, progress_bar("learning", optim.updates(len(examples))) as advance:
        losses = sft.train(policy.model, examples, optim, on_update=lambda _: advance())
    return {"examples": len(examples), "loss": losses[-1]}


def prefer(policy: HFPolicy, traces: Sequence[Trace], judge: str, config: Config) -> dict[str, Any]:
    """DPO of whole episodes: of a task, each success against a failure."""
    by_task: dict[str, tuple[list[Trace], list[Trace]]] = {}
    for trace in traces:
        by_task.setdefault(trace.task.id, ([], []))[0 if won(trace, judge) else 1].append(trace)
    rng, pairs = random.Random(config.seed), []
    for good, bad in by_task.values():
        for chosen in good if bad else ():
            sides = [turns_of(policy, one) for one in (chosen, rng.choice(bad))]
            if all(sides):
                pairs.append(preference.pair(*sides))
    if not pairs:
        return {"pairs": 0}
    settings = preference.PreferenceConfig(beta=config.dpo_beta, nll=config.dpo_nll)
    with policy.lock:
        losses, _ = preference.train(policy.model, pairs, settings, replace(config.update, seed=config.seed))
    return {"pairs": len(pairs), "loss": losses[-1]}


class Online:
    """PPO or GRPO, a round at a time.

    GRPO compares the episodes of a task; PPO has a critic of turns (`critics.turn_value`), fitted on the rounds before,
    and GAE. Both take several clipped steps a round.
    """

    def __init__(self, method: str, base: HFPolicy, config: Config) -> None:
        """Begin.

        Args:
            method: "ppo" or "grpo".
            base: whose frozen trunk the critic reads.
            config: rates.
        """
        self.method, self._base, self._value = method, base, TurnValue()
        self.optim = replace(config.update, learning_rate=config.online_rate, schedule="constant", warmup_updates=0)
        steps = 4 if method == "ppo" else 2
        self._settings = policy_gradient.PolicyGradientConfig(kl=0.0, inner_updates=steps, optim=self.optim)

    def credited(self, policy: HFPolicy, traces: Sequence[Trace], judge: str) -> list[policy_gradient.CreditedSequence]:
        """The turns of a round with their advantages. PPO's critic learns from the round afterwards."""
        each = [(trace, turns) for trace in traces if (turns := turns_of(policy, trace))]
        reward = torch.tensor([float(won(trace, judge)) for trace, _ in each])
        if self.method == "grpo":
            number = {trace.task.id: place for place, (trace, _) in enumerate(each)}
            advantage = attempt_advantages(reward, [number[trace.task.id] for trace, _ in each])
            advantages = [torch.full((len(turns),), float(a)) for a, (_, turns) in zip(advantage, each, strict=True)]
        else:
            advantages = self._ppo([[turn.prompt_ids for turn in turns] for _, turns in each], reward)
        made = []
        for (_, turns), credit in zip(each, advantages, strict=True):
            for turn, value in zip(turns, credit.tolist(), strict=True):
                share = 1 / (len(each) * len(turns))
                ids = (turn.prompt_ids, turn.token_ids, turn.mask)
                made.append(policy_gradient.CreditedSequence(*ids, advantage=value, share=share))
        return made

    def _ppo(self, prompts: list[list[tuple[int, ...]]], reward: torch.Tensor) -> list[torch.Tensor]:
        if not prompts:
            return []
        lengths = [len(rows) for rows in prompts]
        seen = features(self._base.model, [ids for rows in prompts for ids in rows])
        values = self._value(seen).split(lengths)
        found = [turn_advantages(value, float(r)) for value, r in zip(values, reward, strict=True)]
        self._value.learn(seen, torch.repeat_interleave(reward, torch.tensor(lengths)))
        return found

    def again(self, prompts: list[list[tuple[int, ...]]], reward: torch.Tensor) -> None:
        """What a round taught the critic, for a run that goes on after it."""
        if self.method == "ppo":
            self._ppo(prompts, reward)

    def update(
        self,
        policy: HFPolicy,
        sequences: Sequence[policy_gradient.CreditedSequence],
        optimizer: torch.optim.Optimizer,
    ) -> policy_gradient.UpdateReport:
        """The steps of a round."""
        with policy.lock:
            return policy_gradient.update(policy.model, sequences, self._settings, optimizer)


def usable(traces: Sequence[Trace]) -> list[Trace]:
    """Episodes that can be learned from."""
    return [trace for trace in traces if trace.turns and trace.outcome is not Outcome.INFRA_ERROR]
