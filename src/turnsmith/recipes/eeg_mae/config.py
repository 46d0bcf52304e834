"""Settings of the EEG masked autoencoder: sizes, masking, data, schedules; the presets."""

from dataclasses import dataclass, field
from typing import Literal

from turnsmith.eeg.fit import FitSettings
from turnsmith.eeg.transfer import TransferSettings
from turnsmith.runs.config import unknown_preset


@dataclass(frozen=True, slots=True)
class Model:
    """Sizes of EEGViT; the defaults are the laptop's, the paper's are ViT-Base. See `eeg.vit`."""

    filters: int = 8
    width: int = 64
    depth: int = 4
    heads: int = 4
    mlp: int = 128
    head: int = 64
    patch_chans: int = 129
    kernel: int = 100
    average: int = 5
    pool: Literal["cls", "mean", "tokens"] = "tokens"
    place_prior: bool = True


@dataclass(frozen=True, slots=True)
class Masking:
    """How the autoencoder hides and decodes. See `eeg.mae`."""

    mode: Literal["paper", "fixed"] = "fixed"
    ratio: float = 0.4
    decoder_width: int = 64
    decoder_depth: int = 1
    decoder_heads: int = 4
    normalise: Literal["patch", "channel"] = "channel"


@dataclass(frozen=True, slots=True)
class Config:
    """The EEG masked autoencoder.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything.
        preset_name: which preset these settings started from.
        data: an EEGEyeNet npz file, or a folder with one or with the raw recordings; "" simulates.
        task, dataset: which file of a folder, or what is simulated.
        participants, windows: simulated people, and windows of each.
        processes: how many simulate at once; figures do not depend on it.
        unlabelled: what pretraining sees of the training people. "recordings" cuts windows anywhere in their whole
            recordings, which only the simulator has; "windows" takes the labelled windows, as the paper does, and
            is what `data` gets in any case.
        model, masking: sizes and ways.
        clip: cut scaled amplitudes at this many spreads; 0 feeds raw microvolts, as released.
        keep_amplitudes: channels keep their strengths relative to each other (`eeg.batches.Scaler`).
        pretrain, finetune: schedules.
        rates: learning rates that each start is fine-tuned with, the validation people choosing; none takes that of
            `finetune` alone.
        drops: shares of the channels that are dropped in fine-tuning, tried with every rate in the same way.
        fractions: shares of the training labels.
        image_weights: a folder with an image ViT of the model's sizes (Hugging Face layout): adds the 2 x 2 of
            initialisation and MAE. "" leaves that out.
        baselines: networks of EEGEyeNet to train beside ("CNN", "PyramidalCNN", "EEGNet", "InceptionTime", "Xception").
        baseline_fit: their schedule.
        paper_check: the released pretraining, in small, beside `mode = "fixed"`: updates; 0 leaves it out.
        real: the experiment on real EEG, where `eeg/eegmmidb_s001` is found.
        transfer: its settings.
        device: "cpu", "cuda", …
    """

    name: str = "eeg_mae-laptop-s0"
    seed: int = 0
    preset_name: str = "laptop"
    data: str = ""
    task: Literal["Position", "LR", "Direction"] = "Position"
    dataset: Literal["dots", "antisaccade", "processing_speed"] = "dots"
    participants: int = 27
    windows: int = 200
    processes: int = 2
    unlabelled: Literal["recordings", "windows"] = "recordings"
    model: Model = field(default_factory=Model)
    masking: Masking = field(default_factory=Masking)
    clip: float = 6.0
    keep_amplitudes: bool = True
    pretrain: FitSettings = field(
        default_factory=lambda: FitSettings(
            steps=12_000, batch=256, learning_rate=2e-3, warmup=200, evaluate_every=1000
        )
    )
    finetune: FitSettings = field(
        default_factory=lambda: FitSettings(steps=600, learning_rate=1e-3, warmup=10, evaluate_every=10)
    )
    rates: tuple[float, ...] = (2e-4, 1e-3)
    drops: tuple[float, ...] = (0.0, 0.3)
    fractions: tuple[float, ...] = (0.1, 0.3, 1.0)
    image_weights: str = ""
    baselines: tuple[str, ...] = ()
    baseline_fit: FitSettings = field(
        default_factory=lambda: FitSettings(steps=160, learning_rate=1e-3, schedule="constant", evaluate_every=16)
    )
    paper_check: int = 0
    real: bool = False
    transfer: TransferSettings = field(default_factory=TransferSettings)
    device: str = "cpu"

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: the paper's sizes and schedules, for a GPU."""
        tiny = FitSettings(steps=2, batch=8, warmup=1, evaluate_every=1)
        presets = {
            "smoke": cls(
                name="eeg_mae-smoke",
                preset_name="smoke",
                participants=4,
                windows=6,
                processes=1,
                model=Model(filters=8, width=16, depth=1, heads=2, mlp=32, head=16, patch_chans=43),
                masking=Masking(decoder_width=16, decoder_heads=2),
                pretrain=tiny,
                finetune=tiny,
                rates=(1e-3,),
                drops=(0.0,),
                fractions=(0.5, 1.0),
                baselines=("PyramidalCNN",),
                baseline_fit=tiny,
                paper_check=2,
                real=True,
                transfer=TransferSettings(
                    stride_s=2.0, width=16, depth=1, heads=2, filters=8, pretrain=tiny, cue=tiny, proxy=tiny, people=1,
                    dots=4,
                ),
            ),
            "laptop": cls(),
            "paper": cls(
                name="eeg_mae-paper",
                preset_name="paper",
                unlabelled="windows",
                model=Model(
                    filters=256, width=768, depth=12, heads=12, mlp=3072, head=1000, patch_chans=8, kernel=36,
                    average=1, pool="cls", place_prior=False,
                ),
                masking=Masking("paper", 0.5, decoder_width=512, decoder_depth=2, decoder_heads=8),
                clip=0.0,
                keep_amplitudes=False,
                pretrain=FitSettings(
                    steps=30 * PAPER_EPOCH, learning_rate=1e-4, weight_decay=0.0, warmup=0, schedule="stairs",
                    stair_epochs=10, evaluate_every=PAPER_EPOCH, clip_norm=0.0, keep_best=False, shuffle=False,
                ),
                finetune=FitSettings(
                    steps=20 * PAPER_EPOCH, learning_rate=1e-4, weight_decay=0.0, warmup=0, schedule="stairs",
                    stair_epochs=6, evaluate_every=PAPER_EPOCH, clip_norm=0.0, keep_best=False, shuffle=False,
                ),
                rates=(),
                drops=(0.0,),
                fractions=(1.0,),
                baselines=("CNN", "PyramidalCNN", "EEGNet", "InceptionTime", "Xception"),
                baseline_fit=FitSettings(
                    steps=50 * PAPER_EPOCH, learning_rate=1e-4, weight_decay=0.0, warmup=0, schedule="constant",
                    evaluate_every=PAPER_EPOCH, patience=20, clip_norm=0.0,
                ),
                paper_check=0,
                device="cuda",
            ),
        }  # fmt: skip
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]


PAPER_EPOCH = 235
"""Updates of 64 windows that go through the training people's share (about 15,000 of 21,464) once."""
