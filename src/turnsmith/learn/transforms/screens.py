"""Screens in other places and colours, prompts without history: what makes a small policy look.

A few hundred demonstrations show a few dozen layouts, and a small model learns the places of fields and buttons rather
than their looks. So, in some uses of an example, the whole screen is moved by a few cells, what leaves on one side
comes back on the other, and the points in prompt and response move with it; and the colours change: contrast and
brightness of each channel, now and then the channels themselves (another shop has another hue). An example is never
moved so far that the point that it taps would leave the screen.

And in some uses the previous action is left out of the prompt. After a tap at a field one types, in every
demonstration, so a policy that reads the previous action types after any tap, field or not (the copycat problem of
imitation, arXiv 1905.11979); one that must do without looks whether there is a keyboard.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from turnsmith.agents.screen_llama import CELL, ScreenLlamaConfig
from turnsmith.learn.examples import Example

_TRIES = 4
"""Moves that are tried until one keeps the points on the screen."""


class _Screens:
    """How screens are moved and recoloured, whatever has points on them.

    Args:
        share: of the uses in which a screen is moved, and, apart from that, recoloured.
        rows, columns: how far it moves at most, in cells.
        colour: how much the gain of a channel varies; its offset varies by 60 times that of 255 levels.
        mixing: of the recoloured screens, how many have their channels exchanged.
    """

    def __init__(
        self, share: float = 0.7, rows: int = 6, columns: int = 3, colour: float = 0.2, mixing: float = 0.1
    ) -> None:
        self.share, self.rows, self.columns, self.colour, self.mixing = share, rows, columns, colour, mixing

    def _move(self, generator: np.random.Generator, fits: Callable[[int, int], bool]) -> tuple[int, int]:
        """(down, right) in cells; (0, 0) where it stays, also where none of a few tries keeps all points in sight."""
        if generator.random() < self.share:
            for _ in range(_TRIES):
                down = int(generator.integers(-self.rows, self.rows + 1))
                right = int(generator.integers(-self.columns, self.columns + 1))
                if fits(down, right):
                    return down, right
        return 0, 0

    def _paint(self, pixels: Tensor, generator: np.random.Generator) -> Tensor:
        """Pixels (..., 3, H, W) as they are or in other colours."""
        if generator.random() >= self.share:
            return pixels
        gain = 1 + self.colour * (2 * generator.random(3) - 1)
        offset = 127 + 60 * self.colour * (2 * generator.random(3) - 1)
        made = (pixels.float() - 127) * _by_channel(gain) + _by_channel(offset)
        if generator.random() < self.mixing:
            made = made[..., generator.permutation(3).tolist(), :, :]
        return made.clamp(0, 255).to(pixels.dtype)


class ScreenAugment(_Screens):
    """Moves and recolours the screens of examples; give it to `learn.sft.train` as `transform`.

    Args:
        config: of the model whose tokens of points the examples hold.
        share, rows, columns, colour, mixing: see `_Screens`.
    """

    def __init__(self, config: ScreenLlamaConfig, share: float = 0.7, **numbers: Any) -> None:
        super().__init__(share, **numbers)
        self.grid, self.first = config.grid, config.first_point_id

    def __call__(self, example: Example, seed: int) -> Example:
        """The example as it is, moved, recoloured, or both; decided by the seed. Without a screen it stays."""
        pixels = example.vision.get("pixel_values")
        if pixels is None:
            return example
        generator = np.random.Generator(np.random.Philox(key=[seed, 1]))  # apart from the renaming of the same use
        move = self._move(generator, lambda *move: self._moved(example.token_ids, *move) is not None)
        if move != (0, 0):
            prompt = self._moved(example.prompt_ids, *move) or example.prompt_ids
            response = self._moved(example.token_ids, *move) or example.token_ids
            example = replace(example, prompt_ids=prompt, token_ids=response)
            pixels = torch.roll(pixels, (move[0] * CELL, move[1] * CELL), (-2, -1))
        return replace(example, vision={**example.vision, "pixel_values": self._paint(pixels, generator)})

    def _moved(self, ids: tuple[int, ...], down: int, right: int) -> tuple[int, ...] | None:
        """Token ids with their points moved; None where one would leave the screen."""
        rows, columns = self.grid
        made = []
        for index in ids:
            if self.first <= index < self.first + rows * columns:
                row, column = divmod(index - self.first, columns)
                if not (0 <= row + down < rows and 0 <= column + right < columns):
                    return None
                index += down * columns + right
            made.append(index)
        return tuple(made)


class ViewAugment(_Screens):
    """Moves and recolours a single screen with the point on it: for what reads actions instead of writing them."""

    def __call__(
        self, frame: Tensor, point: tuple[float, float] | None, seed: Sequence[int]
    ) -> tuple[Tensor, tuple[float, float] | None]:
        """Frame (3, H, W) and point (y, x), as they are, moved, recoloured, or both; decided by the seed."""
        generator = np.random.default_rng(seed)

        def moved(down: int, right: int) -> tuple[float, float] | None:
            if point is None:
                return None
            return point[0] + down * CELL / frame.shape[1], point[1] + right * CELL / frame.shape[2]

        down, right = self._move(generator, lambda *move: all(0 <= side < 1 for side in moved(*move) or ()))
        rolled = torch.roll(frame, (down * CELL, right * CELL), (-2, -1))
        return self._paint(rolled, generator), moved(down, right)


class HistoryDropout:
    """Leaves the previous action out of prompts: what stands between two tokens, both kept.

    Args:
        start, stop: ids of the tokens before and after the previous action.
        share: of the uses.
    """

    def __init__(self, start: int, stop: int, share: float) -> None:
        self.start, self.stop, self.share = start, stop, share

    def __call__(self, example: Example, seed: int) -> Example:
        """The example with or without its previous action; decided by the seed."""
        ids = example.prompt_ids
        if np.random.Generator(np.random.Philox(key=[seed, 2])).random() >= self.share:
            return example
        if self.start not in ids or self.stop not in ids:  # a prompt that was cut at its beginning
            return example
        return replace(example, prompt_ids=ids[: ids.index(self.start) + 1] + ids[ids.index(self.stop) :])


def _by_channel(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).float()[:, None, None]
