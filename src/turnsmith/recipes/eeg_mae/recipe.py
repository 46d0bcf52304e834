"""A masked autoencoder for EEG (arXiv 2408.05375): gaze from brain signals with less training.

    pretrain on the training people's windows, without labels:  hide tokens, predict them from the others
    fine-tune on their labels, from these weights and from random ones:  the same model, updates and schedule
    compare: when the pretrained model reaches the other's best error, where it is at half that time, at 10 % of labels

The paper's figures are for EEGEyeNet, which cannot be downloaded everywhere; without `--data` the same files are
simulated (README.md). Then both EEGMMIDB questions (cue side, EOG proxy) are asked of a real recording, where one is.

Notable: `mode = "paper"` is the released code (single values hidden, decoder on the class token, cosine loss, decoder
attending across the batch); `mode = "fixed"` hides whole tokens and drops them. Seeds change the simulated people, the
weights and all draws. Every stage is kept as it ends, and every training resumes inside.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from turnsmith.eeg.baselines import BASELINES
from turnsmith.eeg.fit import Fitted
from turnsmith.errors import UserError
from turnsmith.recipes.eeg_mae.claims import record_claims
from turnsmith.recipes.eeg_mae.config import Config
from turnsmith.recipes.eeg_mae.data import forget_simulation
from turnsmith.recipes.eeg_mae.report import write_report
from turnsmith.recipes.eeg_mae.study import Stage, Study
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    _check(config)
    with Run(Path("runs") / config.name, to_json("eeg_mae", config)) as run:
        report = _main(config, run)
    if config.preset_name == "laptop" and not changed(config, free=("processes", "device")):
        record_claims(config)
    return report


def _check(config: Config) -> None:
    unknown = sorted(set(config.baselines) - set(BASELINES))
    if unknown:
        raise UserError(f"unknown baseline {unknown[0]!r}. Baselines: {', '.join(BASELINES)}.")
    if not all(0 < fraction <= 1 for fraction in config.fractions) or 1.0 not in config.fractions:
        raise UserError("fractions are shares of the labels, above 0 and at most 1, and 1.0 must be among them.")
    if config.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no CUDA device is there. Add --device cpu, or use the laptop preset.")


def _main(config: Config, run: Run) -> Path:
    run.report(status="running", recipe="eeg_mae", config=run.config)
    study = Study(config, run.folder)
    done: dict[str, Stage] = {"data": study.facts()}

    def stage(name: str, work: Callable[[], Stage]) -> None:
        """Do a stage, or read what it gave when it was done before."""
        done[name] = run.once(f"stages/{name}", {"seed": config.seed}, lambda: _logged(run, name, work()))
        console.print(f"{name}: {_in_short(done[name])}")

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


def _logged(run: Run, name: str, result: Stage) -> Stage:
    """A stage's result, after every point of its curve has become a line of metrics.jsonl."""
    if "curve" in result:
        for point in Fitted.from_dict(result).curve:
            run.log(phase=name, **{key: value for key, value in asdict(point).items() if value is not None})
    return result


def _in_short(result: Stage) -> str:
    """The figures of a stage that fit on a line."""
    flat = {key: value for key, value in result.items() if isinstance(value, float | int | str) and key != "best_step"}
    if "test" in result:
        flat |= {f"test {key}": value for key, value in result["test"].items()}
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in flat.items()
    )
