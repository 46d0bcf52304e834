"""One uniform number a token: a distribution and a point in [0, 1) become a token id."""

import numpy as np
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


class Uniforms:
    """A thread's stream of uniform numbers, in blocks: the same numbers as one long draw."""

    __slots__ = ("at", "block", "generator")

    def __init__(self, key: int) -> None:
        self.generator = np.random.Generator(np.random.Philox(key=key))
        self.block: list[float] = []
        self.at = 0

    def next(self) -> float:
        if self.at == len(self.block):
            self.block, self.at = self.generator.random(64).tolist(), 0
        self.at += 1
        return self.block[self.at - 1]
