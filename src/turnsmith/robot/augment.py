"""Augmentation of a training batch: the paper's, a much stronger one in colour, or none.

    standard        rotation +-15 degrees, scale .9 to 1, a random crop; colour jitter (.1, .1, .2, .2)
    strong_colour   the same places, colour jitter (.4, .4, .8) and any hue
    none            the image as it is

Numbers are those of KALIE's training script. Its flips are left out: they turn "to the right" into "to the left".
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from turnsmith.robot.settings import Augmentation

_JITTER = {"standard": (0.1, 0.1, 0.2, 0.2), "strong_colour": (0.4, 0.4, 0.8, 0.5)}
"""Brightness, contrast and saturation (factors within 1 +- x) and hue (turns)."""
_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def augment(
    images_B3HW: Tensor, points_BP2: Tensor, kind: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A batch as it is shown once.

    Args:
        images_B3HW: floats in 0..1.
        points_BP2: keypoints in shares of the image (0..1).
        kind: which augmentation.
        generator: of the draws.

    Returns:
        Images and points, moved by one affine map each.
    """
    if kind == "none":
        return images_B3HW, points_BP2
    images, points = _places(images_B3HW, points_BP2, generator)
    return _colours(images, _JITTER[kind], generator), points


def _uniform(generator: torch.Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _places(images: Tensor, points_BP2: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rotate, crop to a share of .9 to 1 of the side, shift within what the crop leaves."""
    count = len(images)
    angle = torch.deg2rad(_uniform(generator, (count,), -15, 15))
    crop = _uniform(generator, (count,), 0.9, 1.0)
    shift = _uniform(generator, (count, 2), -1, 1) * (1 - crop)[:, None]
    cos, sin = crop * torch.cos(angle), crop * torch.sin(angle)
    # From the output's coordinates (-1..1) to the input's.
    inverse = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    grid = F.affine_grid(torch.cat([inverse, shift[..., None]], 2), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    centred = (2 * points_BP2 - 1 - shift[:, None]) @ torch.linalg.inv(inverse).transpose(1, 2)
    return moved, (centred + 1) / 2


def _colours(images: Tensor, jitter: tuple[float, float, float, float], generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation, then a turn of the hue in YIQ."""
    count = len(images)
    brightness, contrast, saturation = (
        _uniform(generator, (count, 1, 1, 1), max(0.0, 1 - x), 1 + x) for x in jitter[:3]
    )
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast + mean
    to_yiq = torch.tensor(_YIQ)
    turn = 2 * torch.pi * _uniform(generator, (count,), -jitter[3], jitter[3])
    cos, sin = saturation.flatten() * torch.cos(turn), saturation.flatten() * torch.sin(turn)
    chroma = torch.zeros(count, 3, 3)
    chroma[:, 0, 0] = 1
    chroma[:, 1, 1], chroma[:, 1, 2], chroma[:, 2, 1], chroma[:, 2, 2] = cos, -sin, sin, cos
    matrix = torch.linalg.inv(to_yiq) @ chroma @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, images).clamp(0, 1)
