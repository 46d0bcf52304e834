"""Supervised training as recipes show it: with a bar, and one figure of how it ended."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from turnsmith.learn.examples import Example, Transform
from turnsmith.learn.fit import Progress, mean_of_last_tenth
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.sft import train
from turnsmith.runs.progress import progress_bar


def train_with_bar(
    what: str,
    model: PreTrainedModel,
    examples: Sequence[Example],
    optim: OptimConfig,
    optimizer: torch.optim.Optimizer | None = None,
    transform: Transform | None = None,
    first: int = 0,
    last: int | None = None,
) -> float:
    """`learn.sft.train` with a progress bar, or a slice of it: updates `first` to `last` (all without).

    Returns:
        The mean loss of the last tenth of the updates that were made.
    """
    last = optim.updates(len(examples)) if last is None else last
    with progress_bar(what, last - first) as advance:

        def on_update(progress: Progress) -> bool:
            advance(note=f"loss {progress.loss:.3f}")
            return progress.update >= last

        losses = train(model, examples, optim, optimizer, first, transform, on_update)
    return mean_of_last_tenth(losses)
