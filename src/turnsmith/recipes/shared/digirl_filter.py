"""DigiRL's choice of what to learn from: the curriculum over episodes, then the filter over steps.

episodes: the p % with the highest R − V_instruct(c)        (offline: those that succeeded)
steps:    A_step > 1 / H, or exp(A_step / β) as a weight
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from turnsmith.credit.digirl import Rule, awr_weights, curriculum, instruction_advantage, step_weights
from turnsmith.critics.episodes import Played, successes
from turnsmith.critics.values import InstructionCritic, StepCritic


@dataclass(frozen=True, slots=True)
class CreditConfig:
    """How steps are credited.

    Attributes:
        rule: "paper" or "released": see `credit.digirl`.
        mix: λ.
        threshold: 1/H of the hard filter.
        weighting: "filter" keeps or drops steps; "awr" weighs them by exp(A / β).
        temperature: β of "awr".
        fraction: p of the curriculum.
        step_level: False leaves the steps of chosen episodes alone (an ablation).
        instruction_level: False takes the successes instead of the curriculum (an ablation).
    """

    rule: Rule = "paper"
    mix: float = 0.5
    threshold: float = 0.05
    weighting: Literal["filter", "awr"] = "filter"
    temperature: float = 0.2
    fraction: float = 0.1
    step_level: bool = True
    instruction_level: bool = True


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
    config: CreditConfig,
) -> Chosen:
    """Choose episodes and weigh their steps.

    Args:
        log: all episodes so far, oldest first.
        step_critic: V_step, as it stands.
        instruction_critic: V_instruct; None offline, where successes are taken as they are.
        config: see there.
    """
    if instruction_critic is None or not config.instruction_level:
        episodes = successes(log)
    else:
        outcome = torch.tensor([one.success for one in log])
        advantage = instruction_advantage(outcome, instruction_critic.values(log))
        episodes = [log[index] for index in curriculum(advantage, config.fraction, config.rule)] if log else []
    weights: dict[str, list[float]] = {}
    advantages: dict[str, list[float]] = {}
    values: dict[str, list[float]] = {}
    for one, value_T1 in zip(episodes, step_critic.values(episodes), strict=True):
        advantage_T, weight_T = step_weights(
            value_T1,
            torch.tensor(one.rewards, dtype=value_T1.dtype),
            one.success,
            rule=config.rule,
            mix=config.mix,
            threshold=config.threshold,
        )
        if config.weighting == "awr":
            weight_T = awr_weights(advantage_T, config.temperature)
        if not config.step_level:
            weight_T = torch.ones_like(advantage_T)
        weights[one.trace.id], advantages[one.trace.id] = weight_T.tolist(), advantage_T.tolist()
        values[one.trace.id] = value_T1[:-1].tolist()
    return Chosen(episodes, weights, advantages, values)
