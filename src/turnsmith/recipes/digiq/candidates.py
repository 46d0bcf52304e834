"""Digi-Q's stage 3: candidates that were never executed, and what a policy learns from Q among them.

For a sample of the logged states, N − 1 actions are drawn from the behaviour policy; candidate 0 is
the action that was executed. They are drawn once, kept on disk, and shared by all arms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from turnsmith.agents.device_policy import DevicePolicy
from turnsmith.credit.digirl import awr_weights
from turnsmith.credit.td import best_of_n, softmax_of_n
from turnsmith.critics.change import NO_ACTION, CriticAction, action_sensitivity, to_critic_action
from turnsmith.critics.episodes import Played
from turnsmith.critics.qlearning import Critics, Steps
from turnsmith.critics.screen_features import weights_digest
from turnsmith.engine.sampling import Sample, Sampling, turn_seed
from turnsmith.learn.checkpoint import TENSORS
from turnsmith.learn.examples import Example, context_at, example_from_turn
from turnsmith.recipes.digiq.config import ExtractionConfig
from turnsmith.runs.run import Run
from turnsmith.trace.types import Action, StopReason

Extraction = Literal["best_of_n", "softmax_of_n", "awr", "reinforce"]
_TRIES = 3
_CHUNK = 512
"""Actions scored at once, so that not all their screens are held as pixels."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate actions of some logged steps.

    Attributes:
        rows: which steps (rows of `Steps`), B.
        actions: B lists of N actions; the first is the executed one.
        likelihood_BN: log π_β of each at temperature 1.
    """

    rows: list[int]
    actions: list[list[Action]]
    likelihood_BN: Tensor

    @property
    def critic_actions(self) -> list[list[CriticAction]]:
        """The actions as critics read them."""
        return [[to_critic_action(action.call) for action in actions] for actions in self.actions]

    @property
    def valid_BN(self) -> Tensor:
        """True where the action parsed."""
        return torch.tensor([[action != NO_ACTION for action in actions] for actions in self.critic_actions])

    def first(self, count: int) -> "Candidates":
        """The same with N = `count`: the executed action and the first draws."""
        return Candidates(self.rows, [actions[:count] for actions in self.actions], self.likelihood_BN[:, :count])


def draw_candidates(
    run: Run,
    policy: DevicePolicy,
    log: Sequence[Played],
    steps: Steps,
    config: ExtractionConfig,
    seed: int,
    on_progress: Callable[..., None] | None = None,
) -> Candidates:
    """Draw candidates from the behaviour policy, once for these weights, this seed and these numbers.

    Args:
        run: keeps them.
        policy: π_β.
        log, steps: the episodes and their tables; how likely the executed actions are is taken from there.
        config: N, of how many states (drawn without replacement; all where there are fewer) and of which, temperature.
        seed: of which states, and of the draws.
        on_progress: called after each state.
    """
    possible = [row for row, (index, _) in enumerate(steps.place) if config.where == "all" or log[index].success > 0]
    order = np.random.default_rng(seed).permutation(len(possible))[: config.states]
    rows = sorted(possible[place] for place in order)
    others = config.candidates - 1

    def make() -> dict[str, Tensor]:
        drawn = _draw(policy, log, steps, rows, others, seed, config.temperature, on_progress)
        likelihood_BN = torch.tensor([[0.0, *(sum(action.logprobs) for action in actions)] for actions in drawn])
        likelihood_BN[:, 0] = steps.likelihood_S[rows]
        longest = max((len(action.token_ids) for actions in drawn for action in actions), default=1)
        ids_BNK = torch.full((len(rows), others, longest), -1, dtype=torch.long)
        for b, actions in enumerate(drawn):
            for n, action in enumerate(actions):
                ids_BNK[b, n, : len(action.token_ids)] = torch.tensor(action.token_ids)
        return {"ids": ids_BNK, "likelihood": likelihood_BN}

    inputs = {
        "weights": weights_digest(policy.model), "seed": seed, "count": config.candidates, "rows": len(rows),
        "temperature": config.temperature, "steps": len(steps.place), "where": config.where,
    }  # fmt: skip
    kept = run.once("candidates", inputs, make, TENSORS)
    actions = [
        [_executed(policy, log, steps.place[row]), *(_decoded(policy, ids) for ids in ids_NK.tolist())]
        for row, ids_NK in zip(rows, kept["ids"], strict=True)
    ]
    return Candidates(rows, actions, kept["likelihood"])


def _decoded(policy: DevicePolicy, ids: Sequence[int]) -> Action:
    """The action of kept token ids; −1 is padding."""
    return policy.action((), Sample(tuple(token for token in ids if token >= 0), (), StopReason.NONE))


def _executed(policy: DevicePolicy, log: Sequence[Played], place: tuple[int, int]) -> Action:
    """What was done there, with token ids."""
    index, turn = place
    action = log[index].trace.turns[turn].action
    return replace(action, token_ids=action.token_ids or policy.encode_response(action.text), logprobs=())


def likelihoods(
    policy: DevicePolicy,
    log: Sequence[Played],
    places: Sequence[tuple[int, int]],
    actions: Sequence[Action],
    on_progress: Callable[..., None] | None = None,
) -> Tensor:
    """log π(a | s) of these actions at temperature 1, each in the state of one step (episode, turn), (N,).

    `on_progress` is called with how many more have been scored.
    """
    scored: list[float] = []
    for start in range(0, len(actions), _CHUNK):
        part = []
        for (index, turn), action in zip(places[start : start + _CHUNK], actions[start : start + _CHUNK], strict=True):
            context = context_at(log[index].trace, turn)
            ids = action.token_ids or policy.encode_response(action.text)
            part.append((context, replace(action, prompt_ids=policy.encode_prompt(context)[0], token_ids=ids)))
        scored += [sum(row) for row in policy.score(part)]
        if on_progress is not None:
            on_progress(len(part))
    return torch.tensor(scored)


def _draw(
    policy: DevicePolicy,
    log: Sequence[Played],
    steps: Steps,
    rows: Sequence[int],
    count: int,
    seed: int,
    temperature: float,
    on_progress: Callable[..., None] | None,
) -> list[list[Action]]:
    sampling = Sampling(temperature=temperature, max_new_tokens=policy.sampling.max_new_tokens)
    drawn = []
    for row in rows:
        index, turn = steps.place[row]
        context = context_at(log[index].trace, turn)
        actions: list[Action] = []
        for attempt in range(_TRIES):
            missing = [n for n in range(count) if attempt == 0 or actions[n].call is None]
            if not missing:
                break
            seeds = [turn_seed(seed, ((row * count) + n) * _TRIES + attempt) for n in missing]
            made = policy.propose([context] * len(missing), seeds, sampling)
            if attempt == 0:
                actions = made
            else:
                for n, action in zip(missing, made, strict=True):
                    actions[n] = action
        drawn.append(actions)
        if on_progress is not None:
            on_progress()
    return drawn


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an arm's actor learns from.

    Attributes:
        examples: with their weights.
        kept: the share of states that gave one with any weight.
        sensitivity: see `change.action_sensitivity`; None where only one action was scored.
        values, advantages: V(s) and Q(s, a) − V(s) of the executed actions, by the trace's id, one for each of its
            turns; None where it was not asked.
    """

    examples: list[Example]
    kept: float
    sensitivity: float | None
    values: dict[str, list[float | None]]
    advantages: dict[str, list[float | None]]


def extract(
    how: Extraction,
    critics: Critics,
    steps: Steps,
    log: Sequence[Played],
    candidates: Candidates,
    policy: DevicePolicy,
    *,
    margin: float = 0.0,
    temperature: float = 0.05,
    largest: float = 20.0,
    seed: int = 0,
) -> Extracted:
    """Examples for the actor from Q and V.

    - best_of_n: the best of all candidates, where it gains more than `margin` over V (the paper).
    - softmax_of_n: one candidate of every state, drawn by exp((Q − V) / β).
    - awr: the executed action, weighted by min(exp((Q − V) / β), largest).
    - reinforce: the executed action, weighted by Q − V, signed, scaled to a mean magnitude of 1.

    Args:
        how: which.
        critics: trained.
        steps, log: the log.
        candidates: of some steps; the executed actions are the first of each.
        policy: that is going to learn; its prompts are rendered.
        margin, temperature, largest: as above; β is `temperature`.
        seed: of the draws.
    """
    among = how in ("best_of_n", "softmax_of_n")
    used = candidates if among else candidates.first(1)
    value_B = critics.values(steps, used.rows)
    q_BN = critics.q_values(steps, used.rows, used.critic_actions, used.likelihood_BN)
    valid_BN = used.valid_BN
    if how == "best_of_n":
        best_B, kept_B = best_of_n(q_BN, value_B, valid_BN, margin)
        weight_B = kept_B.float()
    elif how == "softmax_of_n":
        source = torch.Generator().manual_seed(seed)
        best_B = softmax_of_n(q_BN - value_B[:, None], valid_BN, temperature, source)
        weight_B = valid_BN.any(dim=1).float()
    else:
        best_B = torch.zeros(len(used.rows), dtype=torch.long)
        weight_B = _weights_of_executed(how, q_BN[:, 0] - value_B, temperature, largest) * valid_BN[:, 0]
    examples = []
    for row, best, weight, actions in zip(used.rows, best_B.tolist(), weight_B.tolist(), used.actions, strict=True):
        if weight != 0:
            index, turn = steps.place[row]
            trace = log[index].trace
            context = context_at(trace, turn)
            action = replace(actions[best], prompt_ids=policy.encode_prompt(context)[0])
            examples.append(example_from_turn(replace(trace.turns[turn], action=action), context, policy, weight))
    sensitivity = action_sensitivity(q_BN) if among and q_BN.shape[1] > 1 else None
    return Extracted(
        examples,
        float((weight_B != 0).float().mean()),
        sensitivity,
        _by_turn(log, steps, used.rows, value_B),
        _by_turn(log, steps, used.rows, q_BN[:, 0] - value_B),
    )


def _weights_of_executed(how: Extraction, gain_B: Tensor, temperature: float, largest: float) -> Tensor:
    """The weight of each executed action from what it gains over V (awr, reinforce)."""
    if how == "awr":
        return awr_weights(gain_B, temperature, largest)
    return gain_B / gain_B.abs().mean().clamp_min(1e-8)


def _by_turn(
    log: Sequence[Played], steps: Steps, rows: Sequence[int], number_B: Tensor
) -> dict[str, list[float | None]]:
    """Numbers of some steps by their trace and turn."""
    found: dict[str, list[float | None]] = {}
    for row, number in zip(rows, number_B.tolist(), strict=True):
        index, turn = steps.place[row]
        episode = log[index]
        found.setdefault(episode.trace.id, [None] * len(episode.rewards))[turn] = number
    return found
