"""TReCiM's settings: the network, its training, the chips that are compared; the presets. Nothing heavy is imported.

The defaults are the paper's network (VGG-8 on CIFAR-10) trained as NeuroSim's wrapper trains it, in the manner of WAGE;
the paper's own body was not available.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from tyro.conf import Suppress

from turnsmith.cim.settings import qat_optim
from turnsmith.learn.optim import OptimConfig
from turnsmith.runs.config import unknown_preset

EXTRAS = ("cim",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One training; the defaults are the wrapper's (WAGE, 1802.04680).

    Attributes:
        epochs: passes over the images.
        batch: images an update.
        learning_rate: of SGD with momentum 0.9.
        weight_decay: of all weights.
        stairs: epochs at which the rate is divided by 8; none takes a warm-up and a cosine to a hundredth.
        loss: squared distance to the label's unit vector, or cross-entropy.
        label_smoothing: of cross-entropy: share of the target that goes to all classes alike.
        cutout: side of a square that is blacked out in each image; 0 leaves images whole.
    """

    epochs: int = 200
    batch: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 1e-4
    stairs: tuple[int, ...] = (140, 180)
    loss: Literal["squared_error", "cross_entropy"] = "squared_error"
    label_smoothing: float = 0.0
    cutout: int = 0

    def optim(self, steps: int) -> OptimConfig:
        """The one class of settings for training, with `steps` updates an epoch."""
        return qat_optim(
            steps, epochs=self.epochs, batch_size=self.batch, learning_rate=self.learning_rate,
            weight_decay=self.weight_decay, stairs=self.stairs,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """TReCiM.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of initial weights and the order of training.
        preset_name: which preset these settings started from.
        data: "cifar10", or "synthetic" (gratings, for tests).
        width: of VGG-8; 1 is the paper's.
        batch_norm: train in floating point with batch norm, which becomes part of 8-bit weights and digital biases
            before fine-tuning; without it training is 8-bit from the start, in the manner of WAGE.
        schedule: training.
        fine_tuning: of both copies after it; ours, the paper has none.
        train_images, validation_images: how many are used.
        test_images: how many the integer network is tested on.
        chip_images, sigma_images: how many of them the chips see, without and with static threshold errors.
        temps: °C.
        sigmas: static threshold errors to add to the comparison, volts.
        chips: seeds of static errors.
        exact_first: keep the first convolution off the arrays, as the reference wrapper does.
        batch: images at a time on the chips.
        device: "cpu", "cuda", …
        threads: of the processor; 0 leaves torch's own choice.
    """

    name: str = "trecim-paper-s0"
    seed: int = 0
    preset_name: Suppress[str] = "paper"
    data: Literal["cifar10", "synthetic"] = "cifar10"
    width: float = 1.0
    batch_norm: bool = False
    schedule: Schedule = field(default_factory=Schedule)
    fine_tuning: Schedule = field(default_factory=lambda: Schedule(epochs=2, learning_rate=0.001, stairs=()))
    train_images: int = 45_000
    validation_images: int = 1_000
    test_images: int = 10_000
    chip_images: int = 10_000
    sigma_images: int = 2_000
    temps: tuple[float, ...] = (0.0, 25.0, 55.0, 85.0)
    sigmas: tuple[float, ...] = (0.01, 0.03)
    chips: tuple[int, ...] = (0,)
    exact_first: bool = True
    batch: int = 250
    device: str = "cuda"
    threads: int = 0

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: quarter width, two cores. gpu: the recorded full width, with batch norm. paper:
        full width in the wrapper's way."""
        presets = {"smoke": _smoke, "laptop": _laptop, "gpu": _gpu, "paper": cls}
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]()


def _ours(epochs: int, learning_rate: float, batch: int = 128) -> Schedule:
    return Schedule(epochs=epochs, batch=batch, learning_rate=learning_rate, stairs=(), loss="cross_entropy")


def _laptop() -> Config:
    return Config(
        name="trecim-laptop-s0", preset_name="laptop", width=0.25, schedule=_ours(15, 0.02),
        fine_tuning=_ours(1, 0.002), sigma_images=1_000, batch=50, device="cpu", threads=2,
    )  # fmt: skip


def _gpu() -> Config:
    schedule = replace(_ours(60, 0.1), weight_decay=5e-4, label_smoothing=0.1, cutout=8)
    fine_tuning = replace(_ours(2, 0.001), weight_decay=5e-4, label_smoothing=0.1)
    return Config(name="trecim-gpu-s0", preset_name="gpu", batch_norm=True, schedule=schedule, fine_tuning=fine_tuning)


def _smoke() -> Config:
    return replace(
        _laptop(), name="trecim-smoke", preset_name="smoke", data="synthetic", width=1 / 32,
        schedule=_ours(1, 0.02, batch=32), fine_tuning=_ours(1, 0.001, batch=32), train_images=64, test_images=8,
        chip_images=8, sigma_images=8, validation_images=8, temps=(27.0, 85.0), sigmas=(), batch=8,
    )  # fmt: skip
