"""Learning from comparisons: DPO of a turn, DPO of whole dialogues, and the critic of SWEET-RL, which is one loss.

All three say that of two sides the better one should have gained more likelihood since the reference model:

    L = −log σ(β (S⁺ − S⁻)),   S = Σ over the side of log π(token) − log π_ref(token), summed in one of three ways

- `sum`: DPO (arXiv 2305.18290). A side is one response (per-turn DPO) or all turns of an episode (multi-turn DPO: what
  the world said cancels out and is masked).
- `turn_mean`: Σ over turns of the mean over a turn's tokens, the critic of SWEET-RL (arXiv 2503.15478, equation 3).
  Without the mean, saying less is the easiest way to lose less.
- `trajectory_mean`: the mean over all tokens of the side, which is what the authors' code computes.

Notable:
- A side is one or more `Example`s. Episodes whose prompt grows turn by turn are best given as one example: the first
  prompt, then everything said, with the agent's tokens in the mask. A stretch of tokens in the mask is a turn.
- NLL of what was preferred is added with a weight. The paper's 0.01 suits large models; small ones collapse with it and
  stay whole with 0.3 to 1 (recipes/sweet). A `Comparison` without pairs is an anchor: only its NLL is learned.
- The reference is scored once, before training, and its numbers are kept: no second model in memory.
- Sides with the same prompt share its computation (`engine.branches`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from turnsmith.engine.branches import branch_logprobs
from turnsmith.engine.forward import Prompt, collate, response_logprobs
from turnsmith.errors import UserError
from turnsmith.learn.batching import all_updates, passes
from turnsmith.learn.examples import Example
from turnsmith.learn.fit import Progress, fit
from turnsmith.learn.optim import OptimConfig

Reduction = Literal["sum", "turn_mean", "trajectory_mean"]


def turn_index(mask_BK: Tensor) -> Tensor:
    """Which turn of its row each counted token belongs to, from 0, (B, K); −1 where a token does not count.

    A turn is a stretch of counted tokens: between two turns stands what the world said.
    """
    counted_BK = mask_BK.bool()
    begins_BK = counted_BK & ~F.pad(counted_BK[:, :-1], (1, 0))
    return torch.where(counted_BK, begins_BK.long().cumsum(dim=1) - 1, -1)


def turn_means(value_BK: Tensor, mask_BK: Tensor) -> Tensor:
    """Mean over the tokens of each turn, (B, T); 0 for turns that a row does not have.

    With log-ratios this is SWEET's A(o_t, a_t, c) = (1/L) Σ_l log π_θ(a^l | o, a^<l, c) − log π_ref(a^l | o, a^<l, c).
    """
    turn_BK = turn_index(mask_BK)
    turns = max(1, int(turn_BK.max()) + 1) if turn_BK.numel() else 1
    at = turn_BK.clamp_min(0)
    kept_BK = value_BK.masked_fill(turn_BK < 0, 0.0)
    total_BT = value_BK.new_zeros(len(value_BK), turns).scatter_add(1, at, kept_BK)
    count_BT = value_BK.new_zeros(len(value_BK), turns).scatter_add(1, at, (turn_BK >= 0).to(value_BK))
    return total_BT / count_BT.clamp_min(1.0)


def side_scores(value_BK: Tensor, mask_BK: Tensor, side_B: Tensor, sides: int, reduction: Reduction = "sum") -> Tensor:
    """One number a side from the numbers of its tokens, (sides,); 0 for a side in which nothing counts.

    Args:
        value_BK: of each token (a log-ratio for S, a log-probability for its likelihood).
        mask_BK: True where the agent chose the token.
        side_B: which side each row belongs to; a side may have several rows.
        sides: how many there are.
        reduction: see the module's docstring.

    Raises:
        ValueError: if the shapes do not fit or the reduction is unknown.
    """
    if value_BK.shape != mask_BK.shape or side_B.shape != value_BK.shape[:1]:
        shapes = [tuple(each.shape) for each in (value_BK, mask_BK, side_B)]
        raise ValueError(f"values, mask and sides do not fit: {shapes}")
    if reduction not in get_args(Reduction):
        raise ValueError(f"unknown reduction {reduction!r}; there are {', '.join(get_args(Reduction))}")
    rows_B = (
        turn_means(value_BK, mask_BK).sum(dim=1)
        if reduction == "turn_mean"
        else value_BK.masked_fill(~mask_BK.bool(), 0.0).sum(dim=1)
    )
    total_S = value_BK.new_zeros(sides).index_add(0, side_B, rows_B)
    if reduction != "trajectory_mean":
        return total_S
    count_S = value_BK.new_zeros(sides).index_add(0, side_B, mask_BK.to(value_BK).sum(dim=1))
    return total_S / count_S.clamp_min(1.0)


def bradley_terry(better_P: Tensor, worse_P: Tensor, beta: float) -> Tensor:
    """−log σ(β (better − worse)) of each pair, (P,).

    Raises:
        ValueError: if the shapes differ or β is not positive.
    """
    if better_P.shape != worse_P.shape:
        raise ValueError(f"{tuple(better_P.shape)} better and {tuple(worse_P.shape)} worse scores differ in shape")
    if beta <= 0:
        raise ValueError(f"beta is {beta}; it must be positive")
    return -F.logsigmoid(beta * (better_P - worse_P))


def dpo_loss(
    chosen_P: Tensor, rejected_P: Tensor, reference_chosen_P: Tensor, reference_rejected_P: Tensor, beta: float = 0.1
) -> Tensor:
    """DPO of each pair, (P,): −log σ(β [log π/π_ref(chosen) − log π/π_ref(rejected)]).

    Args:
        chosen_P, rejected_P: log π of the whole side (a turn, or all the agent's tokens of an episode).
        reference_chosen_P, reference_rejected_P: the same under the reference; constants.
        beta: how dear it is to leave the reference.
    """
    return bradley_terry(
        chosen_P - reference_chosen_P.detach(), rejected_P - reference_rejected_P.detach(), beta
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """Sides and which are better than which. `pair` and `anchor` make the common ones.

    Attributes:
        sides: each one or more examples: a response, or the turns of an episode.
        pairs: (better, worse) as places in `sides`; their losses are averaged.
        liked: the sides whose NLL is added, averaged over them.
    """

    sides: tuple[tuple[Example, ...], ...]
    pairs: tuple[tuple[int, int], ...]
    liked: tuple[int, ...]

    def __post_init__(self) -> None:
        places = {place for pair in self.pairs for place in pair} | set(self.liked)
        if not all(self.sides) or not places or not places <= set(range(len(self.sides))):
            raise ValueError(
                f"a comparison of {len(self.sides)} sides with pairs {self.pairs} and liked sides {self.liked}: every "
                "side needs an example, and pairs or liked sides must name sides that are there"
            )

    @property
    def length(self) -> int:
        """Tokens in all, each prompt as often as it stands before an example."""
        return sum(example.length for side in self.sides for example in side)


def pair(chosen: Sequence[Example] | Example, rejected: Sequence[Example] | Example) -> Comparison:
    """Two responses to one prompt (an example each), or two episodes (an example a turn, or one for all turns)."""
    sides = tuple((side,) if isinstance(side, Example) else tuple(side) for side in (chosen, rejected))
    return Comparison(sides, ((0, 1),), (0,))


def anchor(example: Sequence[Example] | Example) -> Comparison:
    """Something good that has nothing to be compared with: only its NLL is learned."""
    return Comparison(((example,) if isinstance(example, Example) else tuple(example),), (), (0,))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceConfig:
    """What is learned from comparisons.

    Attributes:
        beta: β; the paper's β and β′ are 0.1.
        nll: weight of the NLL of what was preferred; the paper's is 0.01.
        reduction: how the numbers of a side's tokens become its score.
    """

    beta: float = 0.1
    nll: float = 0.01
    reduction: Reduction = "sum"

    def __post_init__(self) -> None:
        if self.beta <= 0 or self.nll < 0 or self.reduction not in get_args(Reduction):
            raise UserError(
                f"preferences need a positive beta, an nll from 0 and one of {', '.join(get_args(Reduction))}; got "
                f"{self.beta}, {self.nll} and {self.reduction!r}."
            )


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Log-probabilities of the examples of some comparisons, a row each, and where each belongs.

    Attributes:
        logprob_BK, mask_BK: of the tokens, and True where one counts.
        side_B: the side of each row, counted over all comparisons.
        sides: how many there are.
    """

    logprob_BK: Tensor
    mask_BK: Tensor
    side_B: Tensor
    sides: int


def token_scores(model: PreTrainedModel, comparisons: Sequence[Comparison]) -> TokenScores:
    """Score all sides in one pass; a prompt that several examples share is read once."""
    examples = [example for comparison in comparisons for side in comparison.sides for example in side]
    sides = [side for comparison in comparisons for side in comparison.sides]
    side_B = torch.tensor([place for place, side in enumerate(sides) for _ in side], device=model.device)
    prompts: dict[tuple[int, ...], int] = {}
    owner = [prompts.setdefault(example.prompt_ids, len(prompts)) for example in examples]
    if len(prompts) < len(examples) and not any(example.vision for example in examples):
        logprob_BK, real_BK = branch_logprobs(model, list(prompts), [example.token_ids for example in examples], owner)
        mask_BK = torch.zeros_like(real_BK)
        for row, example in enumerate(examples):
            mask_BK[row, : len(example.mask)] = torch.tensor(example.mask, device=mask_BK.device)
        return TokenScores(logprob_BK, mask_BK, side_B, len(sides))
    inputs = [Prompt(example.prompt_ids, example.vision) for example in examples]
    batch = collate(inputs, [example.token_ids for example in examples], model.device)
    mask_BK = torch.zeros_like(batch.real_BK)
    for row, example in enumerate(examples):
        mask_BK[row, -len(example.mask) :] = torch.tensor(example.mask, device=mask_BK.device)
    return TokenScores(response_logprobs(model, batch), mask_BK, side_B, len(sides))


def comparison_losses(
    scores: TokenScores, comparisons: Sequence[Comparison], reference_S: Tensor, config: PreferenceConfig
) -> tuple[Tensor, Tensor]:
    """Loss of each comparison, (C,), and the share of its pairs that are ranked right, (C,) (NaN without pairs).

    Args:
        scores: of these comparisons under the weights that learn.
        comparisons: as they were scored.
        reference_S: the score of each side under the reference, by the same reduction.
        config: β, the weight of the NLL, and the reduction.
    """
    score_S = side_scores(scores.logprob_BK, scores.mask_BK, scores.side_B, scores.sides, config.reduction)
    gain_S = score_S - reference_S.to(score_S).detach()
    nll_S = -side_scores(scores.logprob_BK, scores.mask_BK, scores.side_B, scores.sides, "trajectory_mean")
    losses, right, first = [], [], 0
    for comparison in comparisons:
        loss = score_S.new_zeros(())
        share = score_S.new_full((), float("nan"))
        if comparison.pairs:
            better, worse = (
                torch.tensor([first + p[end] for p in comparison.pairs], device=score_S.device) for end in (0, 1)
            )
            loss = loss + bradley_terry(gain_S[better], gain_S[worse], config.beta).mean()
            share = (gain_S[better] > gain_S[worse]).to(score_S).mean().detach()
        if comparison.liked and config.nll:
            loss = loss + config.nll * nll_S[torch.tensor(comparison.liked, device=score_S.device) + first].mean()
        losses.append(loss)
        right.append(share)
        first += len(comparison.sides)
    return torch.stack(losses), torch.stack(right)


def reference_scores(
    model: PreTrainedModel,
    comparisons: Sequence[Comparison],
    config: PreferenceConfig,
    pass_tokens: int = 16384,
    on_pass: Callable[[int], None] | None = None,
) -> list[Tensor]:
    """The score of each side of each comparison under this model: what learning is measured from.

    Args:
        model: the reference, used as it stands (call `eval()` first).
        comparisons: what will be learned.
        config: its reduction counts.
        pass_tokens: padded tokens of one pass.
        on_pass: called with the number of comparisons that a pass has scored.
    """
    found: list[Tensor] = [torch.zeros(0)] * len(comparisons)
    lengths = [comparison.length for comparison in comparisons]
    with torch.inference_mode():
        for part in passes(range(len(comparisons)), lengths, pass_tokens):
            chosen = [comparisons[i] for i in part]
            got = token_scores(model, chosen)
            score_S = side_scores(got.logprob_BK, got.mask_BK, got.side_B, got.sides, config.reduction).cpu().clone()
            for i, row in zip(part, score_S.split([len(comparison.sides) for comparison in chosen]), strict=True):
                found[i] = row
            if on_pass is not None:
                on_pass(len(part))
    return found


def train(
    model: PreTrainedModel,
    comparisons: Sequence[Comparison],
    config: PreferenceConfig,
    optim: OptimConfig,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    reference: PreTrainedModel | None = None,
    start: int = 0,
    on_update: Callable[[Progress], bool | None] | None = None,
) -> tuple[list[float], list[float]]:
    """Learn from comparisons in place.

    Args:
        model: a Hugging Face causal LM; left in `eval()` mode, and without dropout while it learns, for at the start
            every side must score 0.
        comparisons: pairs and anchors; one update takes `optim.batch_size` of them.
        config: β, the weight of the NLL, and the reduction.
        optim: rates, epochs, seed.
        optimizer: goes on with its moments; a new one without.
        reference: what is measured from; the model as it comes without. A run that resumes in the middle must give it.
        start: skip the updates before this one, which a resumed run has done.
        on_update: called after every update; True ends the training there.

    Returns:
        (the loss of each update from `start` on, the share of its pairs that it found ranked right: NaN without pairs).

    Raises:
        UserError: if there is nothing to learn from, or the loss is not finite.
    """
    if not comparisons:
        raise UserError("there are no pairs to learn preferences from.")
    model.eval()
    reference_C = reference_scores(reference or model, comparisons, config, optim.pass_tokens)
    lengths = [comparison.length for comparison in comparisons]
    updates = [members for _, members in all_updates(lengths, optim.batch_size, optim.epochs, optim.seed)]
    accuracy: list[float] = []

    def losses(update: int) -> Iterator[Tensor]:
        members, right = updates[update], []
        for part in passes(members, lengths, optim.pass_tokens):
            chosen = [comparisons[i] for i in part]
            reference_S = torch.cat([reference_C[i] for i in part])
            loss_C, right_C = comparison_losses(token_scores(model, chosen), chosen, reference_S, config)
            right += right_C[~right_C.isnan()].tolist()
            yield loss_C.sum() / len(members)
        accuracy.append(sum(right) / len(right) if right else float("nan"))

    total = optim.updates(len(comparisons))
    done = fit(model, losses, optim, total, optimizer=optimizer, start=start, on_update=on_update)
    return done, accuracy
