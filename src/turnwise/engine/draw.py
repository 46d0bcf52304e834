"""One uniform number a token: a distribution and a point in [0, 1) become a token id."""

import torch
from torch import Tensor


def draw(logits_BV: Tensor, uniform_B: Tensor, temperature: float, top_p: float) -> Tensor:
    """One token a row, by inverting the cumulative distribution at `uniform_B` in [0, 1). Shape (B,).

    Top-p keeps the most probable tokens up to and including the one that reaches `top_p`, and draws among them in
    proportion to their probabilities.
    """
    if temperature == 0:
        return logits_BV.argmax(dim=-1)
    probabilities = (logits_BV.double() / temperature).softmax(dim=-1)
    order = None
    if top_p < 1:
        probabilities, order = probabilities.sort(dim=-1, descending=True, stable=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(before >= top_p, 0.0)
    cumulative = probabilities.cumsum(dim=-1)
    # Below the total, so that rounding cannot push the point past the last token with any probability.
    total = cumulative[:, -1:]
    point = torch.minimum(uniform_B.double()[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(cumulative, point, right=True)
    chosen = index if order is None else order.gather(1, index)
    return chosen[:, 0]
