"""Policy gradient on sequences: GRPO's clipped loss, the k3 penalty, and the update that makes a step of them.

The parts are general: a sequence is one prompt with what followed, a mask of what the agent chose (joined text and tool
output are not), the log-probabilities at sampling, and an advantage. A turn of an episode and a thread of a tree are
both that.

Notable: an update is exact however it is cut into passes, and its normaliser is the caller's: `share` is the factor of
one sequence's token mean in the loss of the whole batch. The masters are fp32 and AdamW's; updates of 1e-5 to bf16
weights would mostly round away.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from turnsmith.engine.forward import Batch, Prompt, collate, response_logprobs
from turnsmith.learn.batching import passes
from turnsmith.learn.fit import Progress, fit
from turnsmith.learn.losses import sample_mean_nll
from turnsmith.learn.optim import OptimConfig


def clipped_surrogate(
    logprobs_BK: Tensor, old_BK: Tensor, mask_BK: Tensor, advantage_B: Tensor, clip: float = 0.2
) -> Tensor:
    """PPO's clipped loss with GRPO's advantage, token mean of each sequence, shape (B,).

    L_i = −(1/T_i) Σ_t min(ρ_t A_i, clip(ρ_t, 1−ε, 1+ε) A_i),  ρ_t = π(y_t) / π_old(y_t)     (APR, 2504.15466, sec. 7)

    Args:
        logprobs_BK: log π of each token under the weights that learn, shape (B, K).
        old_BK: the same under the weights that sampled; a constant.
        mask_BK: True where the agent chose the token (its end-of-sequence included).
        advantage_B: A_i, a constant.
        clip: ε; `math.inf` leaves the ratio alone.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if not logprobs_BK.shape == old_BK.shape == mask_BK.shape or advantage_B.shape != logprobs_BK.shape[:1]:
        shapes = [tuple(x.shape) for x in (logprobs_BK, old_BK, mask_BK, advantage_B)]
        raise ValueError(f"log-probabilities, old ones, mask and advantage do not fit: {shapes}")
    # Masked tokens may carry anything, infinities too: they must not reach the exponential.
    difference_BK = (logprobs_BK - old_BK.detach()).masked_fill(~mask_BK.bool(), 0.0)
    ratio_BK = difference_BK.exp()
    advantage_B1 = advantage_B.detach()[:, None].to(ratio_BK.dtype)
    gain_BK = torch.minimum(ratio_BK * advantage_B1, ratio_BK.clamp(1 - clip, 1 + clip) * advantage_B1)
    return sample_mean_nll(gain_BK, mask_BK)


def k3_penalty(logprobs_BK: Tensor, reference_BK: Tensor, mask_BK: Tensor) -> Tensor:
    """Token mean of the k3 estimate of KL(π ‖ π_ref) of each sequence, shape (B,): e^d − d − 1, d = log π_ref − log π.

    Its expectation under π is the divergence, and it is never negative (Schulman 2020; APR, section 7).

    Raises:
        ValueError: if the shapes differ.
    """
    if not logprobs_BK.shape == reference_BK.shape == mask_BK.shape:
        raise ValueError(
            f"log-probabilities {tuple(logprobs_BK.shape)}, reference {tuple(reference_BK.shape)} and mask "
            f"{tuple(mask_BK.shape)} differ in shape"
        )
    difference_BK = (reference_BK.detach() - logprobs_BK).masked_fill(~mask_BK.bool(), 0.0)
    return -sample_mean_nll(difference_BK.exp() - difference_BK - 1, mask_BK)


@dataclass(frozen=True, slots=True)
class CreditedSequence:
    """One sequence to learn from.

    Attributes:
        prompt_ids: what the model read.
        token_ids: what followed, ends included.
        mask: which of `token_ids` the agent chose.
        advantage: A of the attempt that it belongs to.
        share: factor of its policy loss in the batch's.
        kl_share: factor of its KL penalty in the batch's (in APR not divided by the sequences of a rollout).
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    mask: tuple[bool, ...]
    advantage: float
    share: float
    kl_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGradientConfig:
    """How to learn from one batch of rollouts; the defaults are APR's.

    Attributes:
        clip: ε of the ratio.
        kl: β of the k3 penalty (the paper: 0.001 for APR, 0.01 for SoS+); 0 needs no reference.
        inner_updates: optimiser steps on the same batch.
        optim: rate (constant), clip and size of a pass; small models take a larger rate than the paper's 1e-5.
    """

    clip: float = 0.2
    kl: float = 0.001
    inner_updates: int = 2
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            learning_rate=1e-5, schedule="constant", warmup_updates=0, weight_decay=0.0, betas=(0.9, 0.999)
        )
    )


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """Of the last inner update: loss, mean k3 over sequences, share of clipped tokens, gradient norm."""

    loss: float
    kl: float
    clipped: float
    grad_norm: float


def update(
    model: PreTrainedModel,
    sequences: Sequence[CreditedSequence],
    config: PolicyGradientConfig,
    optimizer: torch.optim.Optimizer,
    reference: PreTrainedModel | None = None,
    on_pass: Callable[[], None] | None = None,
) -> UpdateReport:
    """`inner_updates` full-batch steps on these sequences; the old log-probabilities are the trainer's own.

    Args:
        model: in place; left in `eval()` mode (no dropout: the ratio must start at 1).
        sequences: of one batch of rollouts. Those whose advantage and penalty are 0 are skipped.
        config: rates and limits.
        optimizer: over the model's fp32 parameters.
        reference: the model that the penalty pulls towards; needed where `config.kl` is above 0.
        on_pass: called after every pass, to show progress.

    Raises:
        UserError: if the loss is not finite.
        ValueError: if a penalty is asked for without a reference.
    """
    if config.kl > 0 and reference is None:
        raise ValueError("a KL penalty needs a reference model")
    penalised = config.kl > 0
    used = [s for s in sequences if any(s.mask) and ((s.advantage and s.share) or (penalised and s.kl_share))]
    if not used:
        return UpdateReport(0.0, 0.0, 0.0, 0.0)
    model.eval()
    lengths = [len(s.prompt_ids) + len(s.token_ids) for s in used]
    parts = [
        _Part.of(model, reference if penalised else None, [used[i] for i in part])
        for part in passes(range(len(used)), lengths, config.optim.pass_tokens)
    ]
    tokens = sum(float(part.mask_BK.sum()) for part in parts)
    measured = [(0.0, 0.0)] * len(parts)

    def losses(_: int) -> Iterator[Tensor]:
        for index, part in enumerate(parts):
            loss, kl, clipped = part.loss(model, config)
            measured[index] = kl, clipped
            yield loss
            if on_pass is not None:
                on_pass()

    last: list[Progress] = []
    fit(model, losses, config.optim, config.inner_updates, optimizer=optimizer, on_update=last.append)
    kl, clipped = (sum(column) for column in zip(*measured, strict=True))
    return UpdateReport(last[-1].loss, kl / len(used), clipped / tokens, last[-1].grad_norm)


@dataclass(frozen=True, slots=True)
class _Part:
    """One pass, with what stays the same over the inner updates."""

    batch: Batch
    old_BK: Tensor
    reference_BK: Tensor | None
    mask_BK: Tensor
    advantage_B: Tensor
    share_B: Tensor
    kl_share_B: Tensor

    @classmethod
    def of(
        cls, model: PreTrainedModel, reference: PreTrainedModel | None, sequences: Sequence[CreditedSequence]
    ) -> "_Part":
        batch = collate([Prompt(s.prompt_ids) for s in sequences], [s.token_ids for s in sequences], model.device)
        mask_BK = torch.zeros_like(batch.real_BK)
        for row, sequence in enumerate(sequences):
            mask_BK[row, -len(sequence.mask) :] = torch.tensor(sequence.mask, device=mask_BK.device)
        with torch.no_grad():
            old_BK = response_logprobs(model, batch)
            reference_BK = None if reference is None else response_logprobs(reference, batch)

        def column(values: list[float]) -> Tensor:
            return old_BK.new_tensor(values)

        return cls(
            batch,
            old_BK,
            reference_BK,
            mask_BK,
            column([s.advantage for s in sequences]),
            column([s.share for s in sequences]),
            column([s.kl_share for s in sequences]),
        )

    def loss(self, model: PreTrainedModel, config: PolicyGradientConfig) -> tuple[Tensor, float, float]:
        """This pass's share of the batch's loss, its sum of k3, and its number of clipped tokens."""
        logprobs_BK = response_logprobs(model, self.batch)
        policy_B = clipped_surrogate(logprobs_BK, self.old_BK, self.mask_BK, self.advantage_B, config.clip)
        total, kl = (policy_B * self.share_B).sum(), 0.0
        if self.reference_BK is not None:
            penalty_B = k3_penalty(logprobs_BK, self.reference_BK, self.mask_BK)
            total = total + config.kl * (penalty_B * self.kl_share_B).sum()
            kl = float(penalty_B.detach().sum())
        ratio_BK = (logprobs_BK.detach() - self.old_BK).exp()
        clipped = float((((ratio_BK - 1).abs() > config.clip) & self.mask_BK).sum())
        return total, kl, clipped
