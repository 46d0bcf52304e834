"""CIFAR-10 from its parquet files, whole in memory, with the usual crop and flip done in one gather a batch.

Splits: the last 5,000 training images validate every choice (epoch, converter step); test images are for the final
figures only.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from turnsmith.data import data_file
from turnsmith.errors import UserError

VALIDATION = 5_000
"""Images at the end of the training file that are never trained on."""
_PAD = 4


@dataclass(frozen=True, slots=True)
class Images:
    """Pixels as uint8, shape (N, 3, 32, 32), and class indices, shape (N,)."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, span: slice) -> "Images":
        return Images(self.pixels[span], self.labels[span])

    def to(self, device: str | torch.device) -> "Images":
        """The same images on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs in ±1 and labels, in order."""
        for pixels, labels in zip(self.pixels.split(size), self.labels.split(size), strict=True):
            yield scaled(pixels), labels


def scaled(pixels: Tensor) -> Tensor:
    """uint8 to ±1: (p / 255 − 0.5) / 0.5."""
    return pixels.float() / 127.5 - 1


def load_cifar10(split: str, limit: int | None = None) -> Images:
    """Decode one split.

    Args:
        split: "train" (the first 45,000), "validation" (the 5,000 after them) or "test".
        limit: only the first so many.

    Returns:
        The images, on the CPU.

    Raises:
        UserError: if the data set is not on this machine.
    """
    import pyarrow.parquet
    from PIL import Image

    path = data_file(f"cifar10/{'test' if split == 'test' else 'train'}.parquet")
    if path is None:
        raise UserError(
            "CIFAR-10 is not here: set TURNSMITH_DATA to the data folder (docs/trecim.md says what it holds)."
        )
    table = pyarrow.parquet.read_table(path)
    if split == "validation":
        table = table.slice(table.num_rows - VALIDATION)
    elif split == "train":
        table = table.slice(0, table.num_rows - VALIDATION)
    if limit is not None:
        table = table.slice(0, limit)
    pixels = np.empty((table.num_rows, 3, 32, 32), np.uint8)
    for index, data in enumerate(table["image"]):
        pixels[index] = np.asarray(Image.open(io.BytesIO(data.as_py())).convert("RGB")).transpose(2, 0, 1)
    labels = np.array(table["label"].to_numpy(), dtype=np.int64)
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels))


def augmented(
    images: Images, size: int, seed: int, epoch: int, start: int = 0, cutout: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of shuffled, randomly cropped and flipped batches.

    Args:
        images: on any device.
        size: of a batch; a smaller last one is dropped.
        seed, epoch: fix the order and every crop, so a run that was stopped goes on as if it had not been.
        start: batches to skip.
        cutout: side of a square that is blacked out at a random place of each image; 0 leaves images whole.

    Yields:
        Inputs in ±1 and labels.
    """
    device = images.pixels.device
    steps = len(images) // size
    order = np.random.default_rng((seed, epoch)).permutation(len(images))[: steps * size].reshape(steps, size)
    # All draws of the epoch go to the device at once: a copy in each step would make it wait for the step before.
    drawn = [_draws(np.random.default_rng((seed, epoch, number)), size) for number in range(start, steps)]
    moved = torch.from_numpy(np.stack([np.stack((*draws, order[start + n])) for n, draws in enumerate(drawn)]))
    span = torch.arange(32, device=device)
    for top, left, flip, middle_row, middle_column, chosen in moved.to(device):
        # Rows and columns to read from, −4 … 35; outside is black.
        rows = span + top[:, None] - _PAD
        columns = torch.where(flip[:, None].bool(), 31 - span, span) + left[:, None] - _PAD
        inside = ((rows >= 0) & (rows < 32))[:, None, :, None] & ((columns >= 0) & (columns < 32))[:, None, None, :]
        if cutout:
            above = ((span - middle_row[:, None]) * 2).abs() < cutout
            beside = ((span - middle_column[:, None]) * 2).abs() < cutout
            inside &= ~(above[:, None, :, None] & beside[:, None, None, :])
        rows, columns = rows.clamp(0, 31), columns.clamp(0, 31)
        picked = images.pixels[chosen]
        picked = picked.gather(2, rows[:, None, :, None].expand(-1, 3, -1, 32))
        picked = picked.gather(3, columns[:, None, None, :].expand(-1, 3, 32, -1))
        yield scaled(picked * inside), images.labels[chosen]


def _draws(rng: np.random.Generator, size: int) -> tuple[np.ndarray, ...]:
    """Of each image: top and left of the crop, flip or not, row and column of the cutout's middle."""
    top, left = (rng.integers(0, 2 * _PAD + 1, size) for _ in range(2))
    return top, left, rng.integers(0, 2, size), *(rng.integers(0, 32, size) for _ in range(2))


def synthetic(count: int, seed: int) -> Images:
    """Ten classes of coloured gratings with noise: a stand-in where CIFAR-10 is absent, learnt in seconds."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    y, x = np.mgrid[0:32, 0:32] / 32
    angle, turns = np.pi * labels / 10, 2 + labels % 3
    phase = rng.uniform(0, 2 * np.pi, count)
    along = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    wave = np.sin(2 * np.pi * turns[:, None, None] * along + phase[:, None, None])
    colour = 0.3 + 0.7 * np.stack([labels % 2, labels // 2 % 2, labels // 4 % 2], -1)
    pixels = 127.5 + 90 * wave[:, None] * colour[:, :, None, None] + rng.normal(0, 20, (count, 3, 32, 32))
    return Images(torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels))
