"""Frozen image vectors for critics and judges: an encoder trained once without any action or reward, and its cache.

DigiRL and Digi-Q give their critics vectors of a frozen BLIP-2. Here a small convolutional autoencoder takes that
place: it is trained on the screens at hand to give back what each cell of a screen looks like (mean and contrast of its
colours), so it knows screens and nothing of tasks. Vectors are computed once for each screen.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from turnsmith.agents.frames import SIZE, Frames
from turnsmith.agents.screen_llama import CELL, ScreenEncoder
from turnsmith.errors import UserError
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
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    order = np.random.default_rng(seed)
    device = next(model.parameters()).device
    losses = []
    model.requires_grad_(True)
    model.train()
    for _ in range(updates):
        rows = order.integers(0, len(frames), size=min(batch_size, len(frames)))
        batch = torch.stack([frames[i] for i in rows]).to(device)
        loss = (model.reconstruct(model(batch)) - looks(batch)).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    model.requires_grad_(False)
    model.eval()
    return losses


class Features:
    """Vectors of screens by content, computed once; `save` and `load` keep them on disk beside the weights' name."""

    def __init__(self, model: ScreenAutoencoder, frames: Frames, batch_size: int = 64) -> None:
        self.model = model
        self.frames = frames
        self.batch_size = batch_size
        self._known: dict[str, Tensor] = {}

    def __call__(self, images: Sequence[ImageRef]) -> Tensor:
        """Vectors of these screens, (N, D), on the CPU."""
        device = next(self.model.parameters()).device
        missing = list({image.digest: image for image in images if image.digest not in self._known}.values())
        for start in range(0, len(missing), self.batch_size):
            part = missing[start : start + self.batch_size]
            with torch.inference_mode():
                vectors = self.model(torch.stack([self.frames(image) for image in part]).to(device))
            for image, vector in zip(part, vectors.cpu().clone(), strict=True):
                self._known[image.digest] = vector
        if not images:
            return torch.zeros(0, self.model.size)
        return torch.stack([self._known[image.digest] for image in images])

    def save(self, folder: Path) -> None:
        """Write all vectors in one atomic rename."""
        digests = sorted(self._known)
        values = torch.stack([self._known[d] for d in digests]) if digests else torch.zeros(0, self.model.size)
        save_tensors(folder / "screens.safetensors", {"values": values}, {"digests": ",".join(digests), **self._name()})

    def load(self, folder: Path) -> bool:
        """Read vectors that were saved for these very weights; False where there are none."""
        found = load_tensors(folder / "screens.safetensors", self._name())
        if found is None:
            return False
        tensors, notes = found
        self._known.update(zip(filter(None, notes["digests"].split(",")), tensors["values"], strict=True))
        return True

    def _name(self) -> dict[str, str]:
        return {"weights": weights_digest(self.model)}


def weights_digest(model: nn.Module) -> str:
    """A name for these weights: what a cache made with them is valid for."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_tensors(path: Path, tensors: dict[str, Tensor], notes: dict[str, str]) -> None:
    """Tensors with text notes in one file that appears at once and whole.

    Raises:
        UserError: if the disk is full or the folder cannot be written.
    """
    import os

    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata=notes)
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path}: could not be written ({error}).") from error


def load_tensors(path: Path, notes: dict[str, str]) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """What `save_tensors` wrote, where it is there and has these notes; else None (it is made again)."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, Any] = file.metadata() or {}
            if any(found.get(name) != value for name, value in notes.items()):
                return None
            return {name: file.get_tensor(name) for name in file.keys()}, found  # noqa: SIM118
    except (SafetensorError, OSError):
        return None
