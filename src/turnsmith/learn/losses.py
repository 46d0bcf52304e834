"""Losses as pure functions of token log-probabilities. No model, no I/O.

All take log-probabilities of the tokens that stand in the response, (B, K), and a mask of those that count: tokens the
agent chose, its end-of-sequence token included, and neither padding nor text that was put into its mouth.

Notable: the sequence losses return one number a sample, (B,), not their mean. A trainer that splits an update into
micro-batches sums them and divides once by the number of samples in the update, so the split changes nothing.
"""

from torch import Tensor


def sample_mean_nll(logprobs_BK: Tensor, mask_BK: Tensor) -> Tensor:
    """Mean negative log-likelihood per token of each sample (B,): the behaviour-cloning loss of PAE and TTI.

    L = -mean_i (1 / T_i) sum_j log pi(y_ij | x_i, y_i<j)       (PAE, arXiv 2412.13194; TTI, arXiv 2506.07976)

    so that every turn counts the same, however long its thought. The caller takes the mean over samples.

    Args:
        logprobs_BK: log pi of each response token, shape (B, K).
        mask_BK: True (or 1) where the token counts, shape (B, K).

    Returns:
        (1 / T_i) sum_j -log pi, shape (B,); 0 for a sample in which nothing counts.

    Raises:
        ValueError: if the shapes differ.
    """
    if logprobs_BK.shape != mask_BK.shape:
        raise ValueError(
            f"log-probabilities {tuple(logprobs_BK.shape)} and mask {tuple(mask_BK.shape)} differ in shape"
        )
    counts = mask_BK.to(logprobs_BK.dtype)
    return -(logprobs_BK * counts).sum(dim=1) / counts.sum(dim=1).clamp_min(1.0)
