"""Settings of the EEG masked autoencoder: sizes, masking, data, schedules; the presets. Nothing heavy is imported here.

The defaults are the paper's: ViT-Base, single values hidden, raw microvolts, Adam at 1e-4 in stairs, last weights kept.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from tyro.conf import Suppress

from turnsmith.eeg.settings import FitConfig, TransferSettings, paper_optim, small_fit
from turnsmith.runs.config import unknown_preset

EXTRAS = ("eeg", "hf")

Baseline = Literal["CNN", "PyramidalCNN", "EEGNet", "InceptionTime", "Xception"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Sizes of EEGViT (`eeg.vit`); the defaults are ViT-Base's.

    Attributes:
        filters, width, depth, heads, mlp, head: of the encoder.
        patch_chans, kernel: channels and samples of a patch.
        average: so many neighbouring samples become their mean before.
        pool: what the head reads: the class token, or the mean of all tokens, or all of them.
        place_prior: attention that starts at electrodes near each other.
    """

    filters: int = 256
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    head: int = 1000
    patch_chans: int = 8
    kernel: int = 36
    average: int = 1
    pool: Literal["cls", "mean", "tokens"] = "cls"
    place_prior: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """How the autoencoder hides and decodes (`eeg.mae`); the defaults are the released code's.

    Attributes:
        mode: "paper" hides single values and decodes the class token; "fixed" hides and drops whole tokens.
        ratio: share that is hidden.
        decoder_width, decoder_depth, decoder_heads: of the decoder ("paper" has its own width and depth).
        normalise: "fixed": what a hidden patch is divided by.
    """

    mode: Literal["paper", "fixed"] = "paper"
    ratio: float = 0.5
    decoder_width: int = 512
    decoder_depth: int = 2
    decoder_heads: int = 8
    normalise: Literal["patch", "channel"] = "channel"


@dataclass(frozen=True, slots=True, kw_only=True)
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
        unlabelled: what pretraining sees of the training people. "windows" takes the labelled windows, as the paper
            does, and is what `data` gets in any case; "recordings" cuts windows anywhere in their whole recordings,
            which only the simulator has.
        model, masking: sizes and ways.
        clip: cut scaled amplitudes at this many spreads; 0 feeds raw microvolts, as released.
        keep_amplitudes: channels keep their strengths relative to each other (`eeg.batches.Scaler`).
        in_pixels: positions are learned in pixels, as released; else scaled to mean 0 and spread 1.
        pretrain, finetune: schedules.
        rates: learning rates that each start is fine-tuned with, the validation people choosing; none takes that of
            `finetune` alone.
        drops: shares of the channels that are dropped in fine-tuning, tried with every rate in the same way.
        fractions: shares of the training labels.
        image_weights: a folder with an image ViT of the model's sizes (Hugging Face layout): adds the 2 x 2 of
            initialisation and MAE. "" leaves that out.
        baselines: networks of EEGEyeNet to train beside.
        baseline_fit: their schedule.
        paper_check: the released pretraining, in small, beside `mode = "fixed"`: updates; 0 leaves it out.
        real: the experiment on real EEG, where `eeg/eegmmidb_s001` is found.
        transfer: its settings.
        device: "cpu", "cuda", …
    """

    name: str = "eeg_mae-paper"
    seed: int = 0
    preset_name: Suppress[str] = "paper"
    data: str = ""
    task: Literal["Position", "LR", "Direction"] = "Position"
    dataset: Literal["dots", "antisaccade", "processing_speed"] = "dots"
    participants: int = 27
    windows: int = 200
    processes: int = 2
    unlabelled: Literal["recordings", "windows"] = "windows"
    model: Model = field(default_factory=Model)
    masking: Masking = field(default_factory=Masking)
    clip: float = 0.0
    keep_amplitudes: bool = False
    in_pixels: bool = True
    pretrain: Suppress[FitConfig] = field(default_factory=lambda: FitConfig(optim=paper_optim(30, 10)))
    finetune: Suppress[FitConfig] = field(default_factory=lambda: FitConfig(optim=paper_optim(20, 6)))
    rates: tuple[float, ...] = ()
    drops: tuple[float, ...] = (0.0,)
    fractions: tuple[float, ...] = (1.0,)
    image_weights: str = ""
    baselines: tuple[Baseline, ...] = ("CNN", "PyramidalCNN", "EEGNet", "InceptionTime", "Xception")
    baseline_fit: Suppress[FitConfig] = field(
        default_factory=lambda: FitConfig(
            optim=replace(paper_optim(50, 50), schedule="constant"), patience=20, keep_best=True, shuffle=True
        )
    )
    paper_check: int = 0
    real: bool = False
    transfer: Suppress[TransferSettings] = field(default_factory=TransferSettings)
    device: str = "cuda"

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: the paper's sizes and schedules, for a GPU."""
        presets = {"smoke": _smoke, "laptop": _laptop, "paper": cls}
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]()


def _laptop() -> Config:
    return Config(
        name="eeg_mae-laptop-s0", preset_name="laptop", unlabelled="recordings",
        model=Model(filters=8, width=64, depth=4, heads=4, mlp=128, head=64, patch_chans=129, kernel=100, average=5,
                    pool="tokens", place_prior=True),
        masking=Masking(mode="fixed", ratio=0.4, decoder_width=64, decoder_depth=1, decoder_heads=4),
        clip=6.0, keep_amplitudes=True, in_pixels=False,
        pretrain=small_fit(12_000, 256, 2e-3, warmup=200, evaluate_every=1000),
        finetune=small_fit(600, warmup=10, evaluate_every=10),
        rates=(2e-4, 1e-3), drops=(0.0, 0.3), fractions=(0.1, 0.3, 1.0),
        baselines=(), baseline_fit=small_fit(160, schedule="constant"), device="cpu",
    )  # fmt: skip


def _smoke() -> Config:
    tiny = small_fit(2, 8, warmup=1, evaluate_every=1)
    return replace(
        _laptop(), name="eeg_mae-smoke", preset_name="smoke", participants=4, windows=6, processes=1,
        model=Model(filters=8, width=16, depth=1, heads=2, mlp=32, head=16, patch_chans=43, kernel=100, average=5,
                    pool="tokens", place_prior=True),
        masking=Masking(mode="fixed", ratio=0.4, decoder_width=16, decoder_depth=1, decoder_heads=2),
        pretrain=tiny, finetune=tiny, rates=(1e-3,), drops=(0.0,), fractions=(0.5, 1.0),
        baselines=("PyramidalCNN",), baseline_fit=tiny, paper_check=2, real=True,
        transfer=TransferSettings(
            stride_s=2.0, width=16, depth=1, heads=2, filters=8, pretrain=tiny, cue=tiny, proxy=tiny, people=1, dots=4,
        ),
    )  # fmt: skip
