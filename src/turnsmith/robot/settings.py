"""Settings of synthesis and of the networks, in words that load neither torch nor MuJoCo."""

from dataclasses import dataclass
from typing import Literal

Augmentation = Literal["none", "standard", "strong_colour"]
Context = Literal["softedge", "depth", "segmentation", "canny"]
Head = Literal["heatmap", "regression", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisSettings:
    """How variants are made.

    Attributes:
        variants: of each original, beside it.
        context: which map guides the generator.
        spread: strength of h: 1 is the paper, 0 leaves places alone (naive inpainting: new looks only).
        move_labels: False leaves the keypoints where they were (the control that K4 asks for).
    """

    variants: int = 10
    context: Context = "softedge"
    spread: float = 1.0
    move_labels: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSettings:
    """How a network is made and trained. The rate rises over 30 % of the updates and falls to nothing (one cycle).

    Attributes:
        head: see `network`.
        size: side of its images, pixels.
        updates, batch, learning_rate: of training; the rate is the peak.
    """

    head: Head = "heatmap"
    size: int = 128
    updates: int = 600
    batch: int = 16
    learning_rate: float = 2e-3
