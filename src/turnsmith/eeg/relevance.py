"""What a gaze model uses: how much each channel matters to each output."""

import numpy as np
import torch
from torch import nn

from turnsmith.eeg.batches import Source


def channel_relevance(model: nn.Module, source: Source, rows: np.ndarray, batch: int = 32) -> np.ndarray:
    """Mean |gradient x input| of each channel for each output, scaled to a largest value of 1.

    Args:
        model: (batch, channels, samples) to (batch, outputs), in evaluation mode.
        source: windows.
        rows: which of them to average over.
        batch: windows at a time.

    Returns:
        (outputs, channels).
    """
    total = None
    for start in range(0, len(rows), batch):
        eeg = source.batch(rows[start : start + batch])[0].requires_grad_(True)
        predicted = model(eeg)
        pieces = []
        for output in range(predicted.shape[1]):
            (gradient,) = torch.autograd.grad(predicted[:, output].sum(), eeg, retain_graph=True)
            pieces.append((gradient * eeg).abs().sum(2).sum(0).detach().cpu().numpy())
        total = np.stack(pieces) if total is None else total + np.stack(pieces)
    if total is None:
        raise ValueError("no windows to look at")
    return total / np.maximum(total.max(1, keepdims=True), 1e-12)
