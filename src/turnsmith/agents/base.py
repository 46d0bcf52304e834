"""The policy protocol: contexts in, actions out, batched over sessions.

A policy renders the context its own way (a chat template, the compact rendering of the small models), samples, and
parses what it sampled with its action grammar. The task in a context has no hidden fields: the rollout took them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from turnsmith.trace.types import Action, Observation, Task, Turn


@dataclass(frozen=True, slots=True)
class Context:
    """What a policy may know when it acts.

    Attributes:
        task: what is asked, without hidden fields.
        observation: what is seen now.
        turns: the earlier turns of this thread, oldest first.
        seed: determines the sampling of this one action, whatever else is in the batch.
    """

    task: Task
    observation: Observation
    turns: tuple[Turn, ...] = ()
    seed: int = 0


class Policy(Protocol):
    """Anything that acts. `version` names the weights (or script) and is stored with every trace."""

    version: str

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context, in order. A text that does not parse is an action with `call=None` and an error.

        Raises:
            InfraError: if the model or endpoint behind the policy failed.
        """
        ...

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Natural log-probability of each token of each action under this policy at temperature 1.

        Scores `action.token_ids` after `action.prompt_ids` as they are; nothing is re-tokenised.
        """
        ...
