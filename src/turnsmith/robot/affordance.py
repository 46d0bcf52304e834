"""Learn keypoints from labelled images, predict them, and measure how far off they are."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from turnsmith.errors import UserError
from turnsmith.learn.fit import Progress, fit
from turnsmith.learn.optim import OptimConfig
from turnsmith.robot.augment import augment
from turnsmith.robot.labelled import Labelled, resized
from turnsmith.robot.network import KeypointNet, word_ids
from turnsmith.robot.settings import Augmentation, NetSettings
from turnsmith.worlds.tabletop.points import NAMES, tie
from turnsmith.worlds.tabletop.tasks import SPECS, TableTask

UNPARSEABLE = 1e6
"""The error of an answer that cannot be read, as in KALIE's evaluation."""


class Predictor(Protocol):
    """From what the camera sees, and the task, to keypoints. No parts, no poses."""

    def predict(self, task: TableTask, images: Sequence[np.ndarray]) -> np.ndarray:
        """Keypoints (N, 5, 2) in pixels of the given images (each uint8 (H, W, 3), all of one size)."""
        ...


def train_network(
    samples: Sequence[Labelled],
    augmentation: Augmentation,
    settings: NetSettings,
    seed: int,
    weights: Sequence[float] | None = None,
    on_update: Callable[[Progress], bool | None] | None = None,
    net: KeypointNet | None = None,
) -> KeypointNet:
    """Train a network from scratch, or go on with one.

    Args:
        samples: labelled images, of one task or of several.
        augmentation: of every batch.
        settings: sizes and schedule.
        seed: of initial weights, batches and augmentation.
        weights: how often a sample is drawn beside the others; evenly without.
        on_update: to show progress.
        net: to go on with.

    Raises:
        UserError: if there is nothing to learn from.
    """
    if not samples:
        raise UserError("there are no labelled images to learn from.")
    images, words, points = _tensors(samples, settings.size)
    net = KeypointNet(settings.head, settings.size, seed) if net is None else net
    chance = torch.ones(len(samples)) if weights is None else torch.tensor(weights, dtype=torch.float32)

    def losses(update: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + update)
        drawn = torch.multinomial(chance, settings.batch, replacement=True, generator=generator)
        pictures, places = augment(images[drawn].float() / 255, points[drawn], augmentation, generator)
        return [net.loss(pictures, words[drawn], places)]

    optim = OptimConfig(learning_rate=settings.learning_rate, batch_size=settings.batch, grad_clip=1.0, seed=seed)
    net.train()
    fit(
        net,
        losses,
        optim,
        settings.updates,
        rate=lambda u: one_cycle(u, settings.updates, settings.learning_rate),
        on_update=on_update,
    )
    return net.eval()


def one_cycle(update: int, total: int, peak: float) -> float:
    """Cosine up over 30 % of the updates from a 25th of the peak, cosine down to a ten-thousandth of that."""
    rise = max(1, round(0.3 * total))
    if update < rise:
        low, high, share = peak / 25, peak, update / rise
    else:
        low, high, share = peak, peak / 25e4, (update - rise) / max(1, total - rise)
    return float(low + (high - low) * (1 - np.cos(np.pi * share)) / 2)


def _tensors(samples: Sequence[Labelled], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images (N, 3, H, W) as bytes, words (N, W), points (N, P, 2) in shares."""
    small = [resized(sample, size) for sample in samples]
    images = torch.from_numpy(np.stack([sample.rgb_HW3 for sample in small])).permute(0, 3, 1, 2).contiguous()
    words = torch.tensor([word_ids(SPECS[sample.task].instruction) for sample in small])
    points = torch.tensor(np.stack([sample.points_52 / size for sample in small]), dtype=torch.float32)
    return images, words, points


class NetPredictor:
    """A trained network as a predictor."""

    def __init__(self, net: KeypointNet, batch: int = 32) -> None:
        self.net, self.batch = net.eval(), batch

    @torch.inference_mode()
    def predict(self, task: TableTask, images: Sequence[np.ndarray]) -> np.ndarray:
        """See `Predictor.predict`; points that the task ties are tied."""
        side = images[0].shape[0]
        found = []
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            pixels = torch.from_numpy(np.stack([shrunk(image, self.net.size) for image in part]))
            words = torch.tensor([word_ids(SPECS[task].instruction)] * len(part))
            found.append(self.net(pixels.permute(0, 3, 1, 2).float() / 255, words).numpy())
        points = np.concatenate(found) * side
        return np.stack([tie(row, SPECS[task].ties) for row in points])


def shrunk(image_HW3: np.ndarray, size: int) -> np.ndarray:
    """An image at another size, by areas."""
    from PIL import Image

    if image_HW3.shape[0] == size:
        return image_HW3
    return np.asarray(Image.fromarray(image_HW3).resize((size, size), Image.Resampling.BOX))


def squared_error(found_N52: np.ndarray, true_N52: np.ndarray, size: float) -> np.ndarray:
    """KALIE's metric of each image, (N,): mean over points of (dx^2 + dy^2) / 2 in thousandths of the image."""
    apart = (np.asarray(found_N52) - np.asarray(true_N52)) * 1000 / size
    squares = (apart**2).sum(-1) / 2
    return np.where(np.isfinite(squares), squares, UNPARSEABLE).mean(-1)


def point_errors(found_N52: np.ndarray, true_N52: np.ndarray, size: float) -> dict[str, tuple[float, float]]:
    """Mean |dx| and |dy| of each point, in pixels of a 224-pixel image, by its name."""
    apart = np.abs(np.asarray(found_N52) - np.asarray(true_N52)).mean(0) * 224 / size
    return {name: (float(x), float(y)) for name, (x, y) in zip(NAMES, apart, strict=True)}
