"""Supervised training on examples: SFT, behaviour cloning, filtered behaviour cloning, and weighted by advantages.

One function, any Hugging Face model. Thought and action are both trained, the prompt is not, and the end-of-sequence
token is in the loss (it is part of `Example.token_ids`).

Notable: an update is the mean over its examples of the mean over their tokens (PAE and TTI, arXiv 2412.13194 and
2506.07976), exactly, however it is cut into passes. The order of updates depends on the seed alone, so a run that
resumes at update n with the restored weights, optimiser and random state ends bit for bit where an uninterrupted one
does.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence

import torch

from turnsmith.engine.forward import Prompt, collate, response_logprobs
from turnsmith.engine.models import LanguageModel
from turnsmith.errors import UserError
from turnsmith.learn.batching import all_updates, passes
from turnsmith.learn.examples import Example, Transform
from turnsmith.learn.fit import OptimConfig, Progress, fit
from turnsmith.learn.losses import sample_mean_nll


def train(
    model: LanguageModel,
    examples: Sequence[Example],
    config: OptimConfig,
    optimizer: torch.optim.Optimizer | None = None,
    start: int = 0,
    transform: Transform | None = None,
    on_update: Callable[[Progress], bool | None] | None = None,
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
        on_update: called after every update, to show progress or to save a checkpoint; True ends the training there.

    Returns:
        The loss of each update from `start` on.

    Raises:
        UserError: if there is nothing to learn from, or the loss is not finite.
    """
    if not examples:
        raise UserError("there are no examples to train on.")
    lengths = [example.length for example in examples]
    updates = all_updates(lengths, config.batch_size, config.epochs, config.seed, start)

    def losses(update: int) -> Iterator[torch.Tensor]:
        _, members = next(updates)
        used = [examples[i] for i in members]
        if transform is not None:
            used = [transform(examples[i], _seed(config.seed, update, i)) for i in members]
        return update_losses(model, used, config.pass_tokens)

    model.train()
    try:
        total = config.updates(len(examples))
        return fit(model, losses, config, total, optimizer=optimizer, start=start, on_update=on_update)
    finally:
        model.eval()


def update_losses(model: LanguageModel, examples: Sequence[Example], pass_tokens: int) -> Iterator[torch.Tensor]:
    """The losses of one update of these examples for `learn.fit`: a scalar a forward pass; their sum is the mean."""
    for part in passes(range(len(examples)), [example.length for example in examples], pass_tokens):
        yield _share(model, [examples[i] for i in part], len(examples))


def _seed(*parts: int) -> int:
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _losses(model: LanguageModel, examples: list[Example]) -> torch.Tensor:
    """Mean token loss of each example, (B,), unweighted."""
    prompts = [Prompt(example.prompt_ids, example.vision) for example in examples]
    batch = collate(prompts, [example.token_ids for example in examples], model.device)
    counted_BK = torch.zeros_like(batch.real_BK)
    for row, example in enumerate(examples):
        counted_BK[row, -len(example.mask) :] = torch.tensor(example.mask, device=counted_BK.device)
    return sample_mean_nll(response_logprobs(model, batch), counted_BK)


def _share(model: LanguageModel, examples: list[Example], count: int) -> torch.Tensor:
    """These examples' share of the loss of an update of `count` examples, a scalar."""
    losses_B = _losses(model, examples)
    weight_B = losses_B.new_tensor([example.weight for example in examples])
    return (losses_B * weight_B).sum() / count


def evaluate_loss(model: LanguageModel, examples: Sequence[Example], pass_tokens: int = 8192) -> float:
    """Mean loss over examples without learning from them, weights ignored."""
    lengths = [example.length for example in examples]
    with torch.inference_mode():
        parts = passes(range(len(examples)), lengths, pass_tokens)
        total = sum(float(_losses(model, [examples[i] for i in part]).sum()) for part in parts)
    return total / max(1, len(examples))
