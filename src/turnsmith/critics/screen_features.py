"""Frozen image vectors for critics and judges: an encoder trained once without any action or reward, and its cache.

DigiRL and Digi-Q give their critics vectors of a frozen BLIP-2. Here a small convolutional autoencoder takes that
place: it is trained on the screens at hand to give back what each cell of a screen looks like (mean and contrast of its
colours), so it knows screens and nothing of tasks. Vectors are computed once for each screen.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from turnsmith.agents.blip2 import Blip2Vectors
from turnsmith.agents.frames import SIZE, Frames
from turnsmith.agents.screen_llama import CELL, ScreenEncoder
from turnsmith.critics.fitting import adam
from turnsmith.errors import UserError
from turnsmith.learn.fit import fit
from turnsmith.trace.types import ImageRef


class ScreenAutoencoder(nn.Module):
    """Screens to vectors and back.

    Args:
        size: of a vector.
        width: channels of the encoder.
        image: (height, width) of frames.
    """

    def __init__(self, size: int = 192, width: int = 32, image: tuple[int, int] = SIZE) -> None:
        super().__init__()
        self.size = size
        self.grid = (image[0] // CELL, image[1] // CELL)
        self.encoder = ScreenEncoder(width, 2, self.grid)
        coarse = tuple((side - 2) // 4 + 1 for side in self.grid)
        self.pool = nn.Conv2d(width, 48, kernel_size=4, stride=4, padding=1)
        self.to_vector = nn.Linear(48 * coarse[0] * coarse[1], size)
        self.norm = nn.LayerNorm(size)
        self.to_cells = nn.Sequential(nn.Linear(size, 256), nn.GELU(), nn.Linear(256, 6 * self.grid[0] * self.grid[1]))

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """uint8 screens (B, 3, H, W) to vectors (B, size)."""
        hidden = F.gelu(self.pool(self.encoder(pixels_BCHW)))
        return self.norm(self.to_vector(hidden.flatten(1)))

    def reconstruct(self, vector_BD: Tensor) -> Tensor:
        """Vectors back to the looks of cells (B, 6, rows, columns)."""
        return self.to_cells(vector_BD).view(-1, 6, *self.grid)


def looks(pixels_BCHW: Tensor) -> Tensor:
    """What each cell of a screen looks like: mean and standard deviation of its colours, (B, 6, rows, columns)."""
    pixels = pixels_BCHW.float() / 127.5 - 1.0
    mean = F.avg_pool2d(pixels, CELL)
    spread = (F.avg_pool2d(pixels.square(), CELL) - mean.square()).clamp_min(0).sqrt()
    return torch.cat([mean, spread], dim=1)


def pretrain(
    model: ScreenAutoencoder,
    frames: Sequence[Tensor],
    updates: int = 400,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> list[float]:
    """Train the autoencoder in place on screens, action-free; left in `eval()` mode, its parameters frozen.

    Returns:
        The loss of each update: mean squared error of the cells' looks.

    Raises:
        UserError: if there are no screens.
    """
    if not frames:
        raise UserError("there are no screens to train image features on.")
    order = np.random.default_rng(seed)
    device = next(model.parameters()).device

    def losses(_: int) -> Iterator[Tensor]:
        rows = order.integers(0, len(frames), size=min(batch_size, len(frames)))
        batch = torch.stack([frames[i] for i in rows]).to(device)
        yield (model.reconstruct(model(batch)) - looks(batch)).square().mean()

    model.requires_grad_(True)
    model.train()
    made = fit(model, losses, adam(updates, learning_rate=learning_rate), updates)
    model.requires_grad_(False)
    model.eval()
    return made


class Features:
    """Vectors of screens by content, computed once."""

    def __init__(self, model: ScreenAutoencoder, frames: Frames, batch_size: int = 64) -> None:
        self.model = model
        self.frames = frames
        self.batch_size = batch_size
        self._known: dict[str, Tensor] = {}

    @property
    def size(self) -> int:
        """Numbers of a vector, D."""
        return self.model.size

    def _vectors(self, images: Sequence[ImageRef]) -> Tensor:
        """Vectors of a batch of screens, computed now, on the CPU."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            return self.model(torch.stack([self.frames(image) for image in images]).to(device)).cpu().clone()

    def __call__(self, images: Sequence[ImageRef]) -> Tensor:
        """Vectors of these screens, (N, D), on the CPU."""
        missing = list({image.digest: image for image in images if image.digest not in self._known}.values())
        for start in range(0, len(missing), self.batch_size):
            part = missing[start : start + self.batch_size]
            for image, vector in zip(part, self._vectors(part), strict=True):
                self._known[image.digest] = vector
        if not images:
            return torch.zeros(0, self.size)
        return torch.stack([self._known[image.digest] for image in images])

    def add(self, digests: Sequence[str], values: Tensor) -> None:
        """Take in vectors (N, D) that were computed before, by these very weights, of images with these digests."""
        self._known.update(zip(digests, values, strict=True))

    @property
    def weights(self) -> str:
        """A name for the weights that made the vectors."""
        return weights_digest(self.model)


class Blip2Features(Features):
    """Vectors of a frozen BLIP-2, the papers' (`agents.blip2`)."""

    def __init__(self, vectors: Blip2Vectors, frames: Frames, batch_size: int = 8) -> None:
        self.vectors, self.frames, self.batch_size = vectors, frames, batch_size
        self._known = {}

    @property
    def size(self) -> int:
        """Numbers of a vector, D."""
        return self.vectors.size

    @property
    def weights(self) -> str:
        """A name for the weights that made the vectors."""
        return self.vectors.name

    def _vectors(self, images: Sequence[ImageRef]) -> Tensor:
        return self.vectors([replace(image, data=self.frames.bytes_of(image)) for image in images])


def weights_digest(model: nn.Module) -> str:
    """A name for these weights: what a cache made with them is valid for."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
