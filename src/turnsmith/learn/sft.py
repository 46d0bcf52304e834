"""Supervised training on examples: SFT, behaviour cloning, filtered behaviour cloning, and weighted by advantages.

One function, any Hugging Face model. Thought and action are both trained, the prompt is not, and the end-of-sequence
token is in the loss (it is part of `Example.token_ids`).

Notable: an update is the mean over its examples of the mean over their tokens (PAE and TTI, arXiv 2412.13194 and
2506.07976), exactly, however it is cut into passes. The order of updates depends on the seed alone, so a run that
resumes at update n with the restored weights, optimiser and random state ends bit for bit where an uninterrupted one
does.
"""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from turnsmith.engine.forward import Prompt, collate, response_logprobs
from turnsmith.errors import UserError
from turnsmith.learn.batching import all_updates, passes
from turnsmith.learn.examples import Example
from turnsmith.learn.losses import sample_mean_nll


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """How to train.

    Attributes:
        learning_rate: peak of AdamW's rate. 1.5e-3 suits the small models; 1e-5 or less a pretrained one.
        batch_size: examples an update.
        epochs: passes over the examples.
        max_updates: stop after so many updates, whatever the epochs; None for all.
        warmup_updates: updates over which the rate rises linearly.
        schedule: "cosine" falls to `final_rate` of the peak at the last update; "constant" stays.
        final_rate: see schedule.
        weight_decay, betas, epsilon: of AdamW. Vectors (norms, biases) are not decayed.
        grad_clip: largest global gradient norm.
        pass_tokens: padded tokens of one forward and backward pass; an update takes as many passes as it needs.
        seed: order of the examples.
    """

    learning_rate: float = 1.5e-3
    batch_size: int = 8
    epochs: int = 1
    max_updates: int | None = None
    warmup_updates: int = 50
    schedule: str = "cosine"
    final_rate: float = 0.05
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-8
    grad_clip: float = 1.0
    pass_tokens: int = 8192
    seed: int = 0

    def __post_init__(self) -> None:
        if self.schedule not in ("cosine", "constant"):
            raise UserError(f"schedule {self.schedule!r} is unknown; there are cosine and constant.")
        if self.batch_size < 1 or self.epochs < 1 or self.learning_rate <= 0:
            raise UserError(
                f"training needs batch_size and epochs of at least 1 and a positive learning_rate; got "
                f"{self.batch_size}, {self.epochs} and {self.learning_rate}."
            )


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands after an update.

    Attributes:
        update: how many updates are done, from 1.
        total: how many there will be.
        loss: of this update's examples before it.
        grad_norm: before clipping.
        learning_rate: that was used.
        tokens: trained on since this call began, prompts included.
        seconds: since this call began.
        seconds_left: until the last update, at the present pace.
    """

    update: int
    total: int
    loss: float
    grad_norm: float
    learning_rate: float
    tokens: int
    seconds: float
    seconds_left: float


def make_optimizer(model: torch.nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; matrices are decayed, vectors are not."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
    )


def rate_at(update: int, total: int, config: OptimConfig) -> float:
    """Learning rate of update `update` (from 0) of `total`."""
    warm = min(1.0, (update + 1) / max(1, config.warmup_updates))
    if config.schedule == "constant":
        return config.learning_rate * warm
    fall = 0.5 * (1 + math.cos(math.pi * update / max(1, total)))
    return config.learning_rate * warm * (config.final_rate + (1 - config.final_rate) * fall)


def train(
    model: Any,
    examples: Sequence[Example],
    config: OptimConfig,
    optimizer: torch.optim.Optimizer | None = None,
    start: int = 0,
    transform: Callable[[Example, int], Example] | None = None,
    on_update: Callable[[Progress], None] | None = None,
) -> list[float]:
    """Train in place.

    Args:
        model: a Hugging Face causal LM, LoRA-wrapped or not; left in `eval()` mode.
        examples: what to learn; `weight` multiplies each one's loss.
        config: rates, sizes, seed.
        optimizer: goes on with its moments (filtered BC over many iterations, a resumed run); a new one without.
        start: skip the updates before this one, which a resumed run has done.
        transform: what an example becomes each time it is used (`transforms.rename.Renamer`); its second argument is a
            seed that depends on `config.seed`, the update and the example.
        on_update: called after every update, to show progress or to save a checkpoint.

    Returns:
        The loss of each update from `start` on.

    Raises:
        UserError: if there is nothing to learn from, or the loss is not finite.
    """
    if not examples:
        raise UserError("there are no examples to train on.")
    optimizer = make_optimizer(model, config) if optimizer is None else optimizer
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    lengths = [example.length for example in examples]
    total = config.epochs * -(-len(examples) // config.batch_size)
    total = total if config.max_updates is None else min(total, config.max_updates)
    losses: list[float] = []
    began, tokens = time.monotonic(), 0
    model.train()
    for update, members in all_updates(lengths, config.batch_size, config.epochs, config.seed, start):
        if update >= total:
            break
        rate = rate_at(update, total, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        used = [examples[i] for i in members]
        if transform is not None:
            used = [transform(examples[i], _seed(config.seed, update, i)) for i in members]
        sizes = [example.length for example in used]
        for part in passes(range(len(used)), sizes, config.pass_tokens):
            loss += _accumulate(model, [used[i] for i in part], len(members))
        grad_norm = float(torch.nn.utils.clip_grad_norm_(trainable, config.grad_clip))
        if not math.isfinite(loss) or not math.isfinite(grad_norm):
            model.eval()
            raise UserError(
                f"update {update + 1}: the loss is {loss} and the gradient norm {grad_norm}. "
                f"Lower the learning rate ({config.learning_rate})."
            )
        optimizer.step()
        losses.append(loss)
        tokens += sum(sizes)
        if on_update is not None:
            seconds = time.monotonic() - began
            left = seconds / len(losses) * (total - update - 1)
            on_update(Progress(update + 1, total, loss, grad_norm, rate, tokens, seconds, left))
    model.eval()
    return losses


def _seed(*parts: int) -> int:
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _losses(model: Any, examples: list[Example]) -> torch.Tensor:
    """Mean token loss of each example, (B,), unweighted."""
    prompts = [Prompt(example.prompt_ids, example.vision) for example in examples]
    batch = collate(prompts, [example.token_ids for example in examples], model.device)
    counted_BK = torch.zeros_like(batch.real_BK)
    for row, example in enumerate(examples):
        counted_BK[row, -len(example.mask) :] = torch.tensor(example.mask, device=counted_BK.device)
    return sample_mean_nll(response_logprobs(model, batch), counted_BK)


def _accumulate(model: Any, examples: list[Example], count: int) -> float:
    """Backward of these examples' share of an update of `count` examples; returns that share of the loss."""
    losses_B = _losses(model, examples)
    weight_B = losses_B.new_tensor([example.weight for example in examples])
    loss = (losses_B * weight_B).sum() / count
    loss.backward()
    return float(loss.detach())


def evaluate_loss(model: Any, examples: Sequence[Example], pass_tokens: int = 8192) -> float:
    """Mean loss over examples without learning from them, weights ignored."""
    lengths = [example.length for example in examples]
    with torch.inference_mode():
        parts = passes(range(len(examples)), lengths, pass_tokens)
        total = sum(float(_losses(model, [examples[i] for i in part]).sum()) for part in parts)
    return total / max(1, len(examples))
