"""A masked autoencoder for EEG (arXiv 2408.05375): gaze from brain signals with less training.

    pretrain on the training people's windows, without labels:  hide tokens, predict them from the others
    fine-tune on their labels, from these weights and from random ones:  the same model, updates and schedule
    compare: when the pretrained model reaches the other's best error, where it is at half that time, at 10 % of labels

The paper's figures are for EEGEyeNet, which cannot be downloaded everywhere; without `--data` the same files are
simulated (docs/eeg.md). Then both EEGMMIDB questions (cue side, EOG proxy) are asked of a real recording, where one is.

Notable: `mode = "paper"` is the released code (single values hidden, decoder on the class token, cosine loss, decoder
attending across the batch); `mode = "fixed"` hides whole tokens and drops them. Seeds change the simulated people, the
weights and all draws. Every stage is kept as it ends, and every training resumes inside.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from turnwise.eeg.fit import FitSettings, Fitted
from turnwise.eeg.transfer import TransferSettings
from turnwise.errors import UserError
from turnwise.recipes.config import changed, to_json, unknown_preset
from turnwise.recipes.progress import console
from turnwise.trace.run import Run, read_json, write_json


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


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    from turnwise.errors import require

    require("mne", "eeg")
    require("torch", "hf")
    _check(config)
    with Run(Path("runs") / config.name, to_json("eeg_mae", config)) as run:
        report = _main(config, run)
    if config.preset_name == "laptop" and not changed(config, free=("processes", "device")):
        from turnwise.recipes.eeg_claims import record_claims

        console.print(f"recorded {record_claims(config)}")
    return report


def _check(config: Config) -> None:
    import torch

    from turnwise.eeg.baselines import BASELINES

    unknown = sorted(set(config.baselines) - set(BASELINES))
    if unknown:
        raise UserError(f"unknown baseline {unknown[0]!r}. Baselines: {', '.join(BASELINES)}.")
    if not all(0 < fraction <= 1 for fraction in config.fractions) or 1.0 not in config.fractions:
        raise UserError("fractions are shares of the labels, above 0 and at most 1, and 1.0 must be among them.")
    if config.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no CUDA device is there. Add --device cpu, or use the laptop preset.")


def _main(config: Config, run: Run) -> Path:
    from turnwise.recipes.eeg_data import forget_simulation
    from turnwise.recipes.eeg_report import write_report
    from turnwise.recipes.eeg_study import Study

    run.report(status="running", recipe="eeg_mae", config=run.config)
    study = Study(config, run.folder)
    done: dict[str, Any] = {"data": study.facts()}

    def stage(name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a stage, or read what it gave when it was done before."""
        path = run.folder / "stages" / f"{name}.json"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            result = work()
            write_json(path, result)
            _log(run, name, result)
        done[name] = read_json(path)
        console.print(f"{name}: {_in_short(done[name])}")
        return done[name]

    stage("linear", study.linear)
    stage("pretrain", study.pretrain)
    stage("probe", study.probe)
    for fraction in sorted(config.fractions):
        percent = f"{100 * fraction:g}"
        for start in ("scratch", "mae"):
            stage(f"{start}-{percent}", lambda start=start, fraction=fraction: study.finetune(start, fraction))
    if config.image_weights:
        stage("pretrain-image", lambda: study.pretrain(from_image=True))
        stage("image-100", lambda: study.finetune("image", 1.0))
        stage("image_mae-100", lambda: study.finetune("image_mae", 1.0))
    if config.paper_check:
        stage("paper-mode", study.paper_check)
    for name in config.baselines:
        stage(f"baseline-{name}", lambda name=name: study.baseline(name))
    if config.real and study.real_recordings():
        stage("real", study.real)
    study.save_model(run.folder / "model")
    summary = study.summary(done)
    page = write_report(run.folder, study, done)
    run.report(status="done", summary=summary, stages=done)
    forget_simulation(run.folder)
    return page


def _log(run: Run, name: str, result: dict[str, Any]) -> None:
    """Every point of a stage's curve as a line of metrics.jsonl."""
    if "curve" in result:
        for point in Fitted.from_dict(result).curve:
            run.log(phase=name, **{key: value for key, value in asdict(point).items() if value is not None})


def _in_short(result: dict[str, Any]) -> str:
    """The figures of a stage that fit on a line."""
    flat = {key: value for key, value in result.items() if isinstance(value, float | int | str) and key != "best_step"}
    if "test" in result:
        flat |= {f"test {key}": value for key, value in result["test"].items()}
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in flat.items()
    )
