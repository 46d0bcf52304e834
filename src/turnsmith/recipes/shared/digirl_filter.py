"""DigiRL's choice of what to learn from: the curriculum over episodes, then the filter over steps.

episodes: the p % with the highest R − V_instruct(c)        (offline: those that succeeded)
steps:    A_step > 1 / H, or exp(A_step / β) as a weight
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from turnsmith.credit.digirl import awr_weights, curriculum, instruction_advantage, step_weights
from turnsmith.critics.episodes import Played, successes
from turnsmith.critics.values import InstructionCritic, StepCritic
from turnsmith.recipes.shared.phone_config import CreditConfig

Weighting = Literal["filter", "awr", "all"]
"""What becomes of a chosen episode's steps: kept or dropped by the threshold, weighed by exp(A / β), or all kept."""

AWR_TEMPERATURE = 0.2
"""β of "awr"."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an update learns from.

    Attributes:
        episodes: that were chosen.
        weights: by trace id, one for each of its steps; 0 leaves a step out.
        advantages, values: likewise, for the record; no values without a critic.
    """

    episodes: list[Played]
    weights: dict[str, list[float]]
    advantages: dict[str, list[float]]
    values: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def whole(cls, episodes: Sequence[Played]) -> "Chosen":
        """All steps of these episodes alike: what filtered behaviour cloning does with its successes."""
        ones = {episode.trace.id: [1.0] * len(episode.rewards) for episode in episodes}
        return cls(list(episodes), ones, ones)

    @property
    def steps(self) -> int:
        """How many steps have any weight."""
        return sum(weight > 0 for weights in self.weights.values() for weight in weights)


def choose(
    log: Sequence[Played],
    step_critic: StepCritic,
    instruction_critic: InstructionCritic | None,
    credit: CreditConfig,
    weighting: Weighting = "filter",
) -> Chosen:
    """Choose episodes and weigh their steps.

    Args:
        log: all episodes so far, oldest first.
        step_critic: V_step, as it stands.
        instruction_critic: V_instruct; None offline, where successes are taken as they are.
        credit: the rule, λ, the threshold and the curriculum's share.
        weighting: of the steps.
    """
    if instruction_critic is None:
        episodes = successes(log)
    else:
        outcome = torch.tensor([episode.success for episode in log])
        advantage = instruction_advantage(outcome, instruction_critic.values(log))
        episodes = [log[index] for index in curriculum(advantage, credit.fraction, credit.rule)] if log else []
    weights: dict[str, list[float]] = {}
    advantages: dict[str, list[float]] = {}
    values: dict[str, list[float]] = {}
    for episode, value_T1 in zip(episodes, step_critic.values(episodes), strict=True):
        advantage_T, weight_T = step_weights(
            value_T1,
            torch.tensor(episode.rewards, dtype=value_T1.dtype),
            episode.success,
            rule=credit.rule,
            mix=credit.mix,
            threshold=credit.threshold,
        )
        if weighting == "awr":
            weight_T = awr_weights(advantage_T, AWR_TEMPERATURE)
        elif weighting == "all":
            weight_T = torch.ones_like(advantage_T)
        name = episode.trace.id
        weights[name], advantages[name] = weight_T.tolist(), advantage_T.tolist()
        values[name] = value_T1[:-1].tolist()
    return Chosen(episodes, weights, advantages, values)
