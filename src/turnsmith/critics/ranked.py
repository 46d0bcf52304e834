"""Best of N by Q while acting: a policy proposes, critics choose, and nothing is trained.

Digi-Q (arXiv 2502.15760) lets a policy imitate the best of N candidates, so that acting costs one sample. The other
way to read a policy off the same Q is to draw the candidates where the agent stands and to do the best one (implicit
extraction, as in IDQL, arXiv 2304.10573; step-level Q re-ranking of language agents, arXiv 2409.09345). It costs N
samples and N readings of the screen an action, and needs no policy that is able to learn what Q knows.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cached_property

import torch

from turnsmith.agents.base import Context
from turnsmith.agents.device_policy import DevicePolicy
from turnsmith.critics.change import NO_ACTION, to_critic_action
from turnsmith.critics.qlearning import Critics, lone_state
from turnsmith.engine.sampling import turn_seed
from turnsmith.errors import UserError
from turnsmith.trace.types import Action


class RankedPolicy:
    """Draws N actions of a policy π and does the best one. `agents.base.Policy` is the contract.

    The best is that with the highest log π(a|s) + Q(s, a) / β: what exp(Q / β) π(a|s) / Z, the policy that is best at
    E[Q] − β KL(·‖π), does most likely. Q alone would do whatever it errs about most, and the more candidates there are
    the more so. Q reads how likely π finds an action; the critics learned with that of the behaviour policy. Where no
    candidate parses, the first is returned with its error.

    Args:
        policy: π.
        critics: gives the trained critics; asked by `prepare` or for the first action, since fitting them takes minutes
            and an evaluation that is complete wants none. None does the likeliest action: what drawing is worth alone.
        count: N.
        temperature: β, in units of Q; 0 is Q alone.

    Raises:
        UserError: if N is below 1 or β below 0.
    """

    def __init__(
        self,
        policy: DevicePolicy,
        critics: Callable[[], Critics] | None,
        count: int = 16,
        temperature: float = 0.03,
    ) -> None:
        if count < 1 or temperature < 0:
            raise UserError(
                f"a policy cannot choose among {count} actions at temperature {temperature}; they are at least 1 and 0."
            )
        self.policy, self._critics, self.count, self.temperature = policy, critics, count, temperature
        self.version = f"{policy.version}, best of {count}"

    @cached_property
    def critics(self) -> Critics | None:
        """What they say counts for states of no log as well (`Critics.preferences`)."""
        return None if self._critics is None else self._critics()

    def prepare(self) -> None:
        """Have the critics at hand, so that no action of an episode waits for them."""
        _ = self.critics

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context, in order."""
        return await asyncio.to_thread(self.choose, list(contexts))

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Not known: the probability of being the best of N has no short formula.

        Raises:
            UserError: always.
        """
        raise UserError("a policy that ranks by Q has no log-probabilities; score actions with the policy that draws.")

    def choose(self, contexts: Sequence[Context]) -> list[Action]:
        """What `act` does, now."""
        seeds = [turn_seed(context.seed, draw) for context in contexts for draw in range(self.count)]
        drawn = self.policy.propose([context for context in contexts for _ in range(self.count)], seeds)
        groups = (drawn[start : start + self.count] for start in range(0, len(drawn), self.count))
        return [self._best(context, actions) for context, actions in zip(contexts, groups, strict=True)]

    def _best(self, context: Context, actions: Sequence[Action]) -> Action:
        critic_actions = [to_critic_action(action.call) for action in actions]
        valid = [place for place, critic_action in enumerate(critic_actions) if critic_action != NO_ACTION]
        if not valid:
            return actions[0]
        likelihood_N = torch.tensor([sum(actions[place].logprobs) for place in valid])
        if self.critics is None:
            return actions[valid[int(likelihood_N.argmax())]]
        before = to_critic_action(context.turns[-1].action.call) if context.turns else NO_ACTION
        screens = [turn.observation.images[-1] for turn in context.turns[-1:]] + [context.observation.images[-1]]
        state = lone_state(context.task.instruction, before, screens, self.critics.features, self.critics.words)
        q_N = self.critics.preferences(state, [critic_actions[place] for place in valid], likelihood_N)
        return actions[valid[int((q_N + self.temperature * likelihood_N).argmax())]]
