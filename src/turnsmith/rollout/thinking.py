"""More thinking at test time, as policies around a policy: budget forcing, and best of n. And what it costs in tokens.

TTI (arXiv 2506.07976) compares them with more *interaction* (`rollout/recheck.py`) at equal tokens. So every action
says what was spent on it, what was thrown away included; the rollout writes it to the turn
(`Turn.info["tokens_spent"]`), and `rollout.spent.tokens_spent` adds it up for a trace.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from turnsmith.agents.base import Context, Policy
from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.engine.forward import Prompt
from turnsmith.engine.sampling import Sample, Sampling, turn_seed
from turnsmith.rollout.spent import Considered, spent_on
from turnsmith.trace.types import Action, StopReason

MARK = "Action:"
"""Where a thought ends and the action begins, in every grammar of web agents here."""


class BestOfN:
    """n actions a step, of which one is done.

    Args:
        policy: who is asked.
        n: how often.
        choose: "majority": the call that most of them make, the first drawn where they are as many;
            "log_prob": the one whose tokens have the highest mean log-probability. Actions that do not parse lose to
            any that do.
    """

    def __init__(self, policy: Policy, n: int, choose: Literal["majority", "log_prob"] = "majority") -> None:
        if n < 1:
            raise ValueError(f"best of {n}: n must be at least 1")
        self.policy, self.n, self.choose = policy, n, choose
        self.version = f"{policy.version}-best{n}-{choose}"

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context. The first draw is the one that the policy alone would have made."""
        drawn = await self.policy.act([
            replace(context, seed=context.seed if k == 0 else turn_seed(context.seed, 1_000_000 + k))
            for context in contexts
            for k in range(self.n)
        ])  # fmt: skip
        groups = [drawn[start : start + self.n] for start in range(0, len(drawn), self.n)]
        return [Considered.of(self._best(group), sum(map(spent_on, group))) for group in groups]

    def _best(self, actions: Sequence[Action]) -> Action:
        valid = [action for action in actions if action.call is not None] or list(actions)
        if self.choose == "log_prob":
            return max(valid, key=_mean_log_prob)
        votes = Counter(_vote(action) for action in valid)
        return max(valid, key=lambda action: votes[_vote(action)])  # max takes the first of equals

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Under the policy itself."""
        return await self.policy.log_prob(steps)


def _vote(action: Action) -> object:
    call = action.call
    return None if call is None else (call.name, *sorted((name, str(value)) for name, value in call.arguments.items()))


def _mean_log_prob(action: Action) -> float:
    return sum(action.logprobs) / len(action.logprobs) if action.logprobs else float("-inf")


class BudgetForcing:
    """Longer thoughts: each time the policy turns to its action, it is made to think on instead, `times` times.

    What was written of the action is taken back, `cue` is put there (`Action.sampled` says that nobody chose it), and
    the policy goes on writing. For local policies, whose tokens can be continued.

    Args:
        policy: who thinks.
        times: how often it is held back.
        cue: what it finds itself to have written.
    """

    def __init__(self, policy: HFPolicy, times: int, cue: str = "Wait, ") -> None:
        if times < 0:
            raise ValueError(f"budget forcing: times is {times}")
        self.policy, self.times = policy, times
        self.version = f"{policy.version}-forced{times}"
        self._cue_ids = policy.tokenizer(cue, add_special_tokens=False).input_ids
        self._line_ids = policy.tokenizer(f"\n{cue}", add_special_tokens=False).input_ids

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context. Without being held back it is the one that the policy alone would have made."""
        drafts = [_Draft(Prompt(*self.policy.encode_prompt(context)), context.seed) for context in contexts]
        held = replace(self.policy.sampling, stop=(MARK,))
        for turn in range(self.times):
            for draft, sample in await self._go_on(drafts, turn, held):
                draft.extend(sample)
                if sample.stop is StopReason.STOP:
                    draft.hold_back(self.policy.tokenizer.decode, self._cue_ids, self._line_ids)
        for draft, sample in await self._go_on(drafts, self.times, self.policy.sampling):
            draft.extend(sample)
        return [
            Considered.of(
                self.policy.action(draft.start, draft.ids, draft.logprobs, draft.stop, sampled=draft.sampled),
                draft.spent,
            )
            for draft in drafts
        ]

    async def _go_on(self, drafts: Sequence["_Draft"], turn: int, sampling: Sampling) -> list[tuple["_Draft", Sample]]:
        """The next stretch of each draft that has not ended."""
        going = [draft for draft in drafts if not draft.ended]
        seeds = [draft.seed if turn == 0 else turn_seed(draft.seed, 2_000_000 + turn) for draft in going]
        samples = await self.policy.complete([draft.prompt for draft in going], seeds, sampling)
        return list(zip(going, samples, strict=True))

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Under the policy itself."""
        return await self.policy.log_prob(steps)


@dataclass
class _Draft:
    """A response that is being written.

    Attributes:
        start: the prompt.
        seed: of the context.
        ids, logprobs, sampled: of what stands so far, as in `Action`. What was put there has log-probability 0.
        spent: tokens that were sampled, those that were taken back included.
        stop: why the last stretch ended.
    """

    start: Prompt
    seed: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    sampled: list[bool] = field(default_factory=list)
    spent: int = 0
    stop: StopReason = StopReason.STOP

    @property
    def prompt(self) -> Prompt:
        """All that the policy reads when it goes on."""
        return Prompt((*self.start.ids, *self.ids), self.start.vision)

    @property
    def ended(self) -> bool:
        """Whether the policy ended its response by itself, or ran out of tokens."""
        return self.stop is not StopReason.STOP

    def extend(self, sample: Sample) -> None:
        """Put a stretch behind what stands."""
        self.ids += sample.token_ids
        self.logprobs += sample.logprobs
        self.sampled += [True] * len(sample.token_ids)
        self.spent += len(sample.token_ids)
        self.stop = sample.stop

    def hold_back(self, decode: Callable[[list[int]], str], cue: Sequence[int], line: Sequence[int]) -> None:
        """Take back the mark of an action at the end, and put the cue there: as a new `line` if none was begun."""
        before = decode(self.ids).rfind(MARK)
        keep = len(self.ids)
        while keep and len(decode(self.ids[:keep])) > before:
            keep -= 1
        cue_ids = cue if decode(self.ids[:keep]).endswith("\n") else line
        self.ids = [*self.ids[:keep], *cue_ids]
        self.logprobs = [*self.logprobs[:keep], *[0.0] * len(cue_ids)]
        self.sampled = [*self.sampled[:keep], *[False] * len(cue_ids)]
